"""The report page: it shows what the set holds; whatever a file holds, it is complete and safe."""

import copy
import dataclasses
import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.commands.report import main as report
from distill.errors import SetError
from distill.registry import load
from distill.report import SECTIONS
from distill.report.page import TEMPLATES, render_page
from distill.report.snapshots import ReportedSet
from distill.sets.distilled import DistilledSet
from tests.helpers import read_json_line, small_set, waves
from tests.report.sets import (
    HOSTILE,
    PROVENANCE,
    SCORES,
    SOURCE,
    ZOO,
    image_set,
    load_run,
    text_set,
    visible_text,
    write_run,
)

# The page


def test_the_page_is_one_file_that_needs_nothing_else(tmp_path: Path) -> None:
    page = render_page([load_run(write_run(tmp_path / "run", image_set()))])
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", page)
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org/2000/svg)", page)
    assert "default-src 'none'; img-src data:;" in page
    assert "unsafe" not in page


@pytest.mark.parametrize("make_set", [image_set, text_set])
def test_no_text_of_a_file_becomes_markup(make_set: Any) -> None:
    harmless_page = render_page([ReportedSet("x", make_set())])
    hostile = dict.fromkeys(("command", "created", "seed"), HOSTILE) | {"versions": {HOSTILE: HOSTILE}}
    data = make_set(
        source=SOURCE | {"name": HOSTILE, "classes": [HOSTILE] * 3},
        provenance=PROVENANCE | hostile | {"config": {HOSTILE: HOSTILE}},
        scores={**SCORES, "baselines": {HOSTILE: {"mean": 0.5, "std": 0.0, "n": 1}}},
        network={"name": HOSTILE, "arguments": {HOSTILE: HOSTILE}, "init": "random", "scheme": HOSTILE},
    )
    if data.text:
        data.text["nearest"][0][0] = HOSTILE
    page = render_page([ReportedSet(HOSTILE, data)])
    assert page.count("<script") == harmless_page.count("<script") == 2
    assert "<img src=x" not in page
    assert page.count("&lt;img src=x onerror=alert(1)&gt;") > 10
    (script,) = re.findall(r'class="data">(.*?)</script>', page, re.DOTALL)
    assert HOSTILE in json.loads(script)["names"].values()


@pytest.mark.parametrize("word", SECTIONS)
def test_every_section_has_a_function_and_a_template(word: str) -> None:
    assert callable(load(SECTIONS[word]))
    assert (TEMPLATES / f"{word}.html").is_file()
    score = {"protocol": "dc", "network": "mlp", "mean": 0.5}
    rows = [{**score, "items": "a", "kind": "set"}, {**score, "items": "b", "kind": "baseline"}]
    page = render_page([ReportedSet("x", image_set(), comparison={"rows": rows})])
    assert f'id="set-1-{word}"' in page or word == "curves"


def test_the_page_begins_with_a_verdict_and_is_reproducible() -> None:
    scores = SCORES | {"baselines": {"k-means": {"mean": 0.99, "std": 0.01, "n": 20}}}
    provenance = PROVENANCE | {"config": {"outer_steps": 8000}}
    reported = ReportedSet("x", image_set(scores=scores, provenance=provenance))
    page = render_page([reported])
    sentence = (
        "Below the strongest baseline (k-means centres, 99.0 %) by 9.0 points:"
        " 40 of 8,000 outer steps were run."
    )
    assert visible_text(page).index(sentence) < visible_text(page).index("Synthetic images and their labels")
    assert render_page([reported]) == page


def test_initial_weights_and_protocol_stand_beside_the_scores() -> None:
    page = visible_text(render_page([ReportedSet("one", image_set()), ReportedSet("two", text_set())]))
    comparison = page[page.index("Comparison") : page.index("Accuracy is measured")]
    assert comparison.count("test data; fixed initial weights; the set&#39;s own recipe") == 2
    assert page.count("fixed initial weights; the set&#39;s own recipe") == 4


def test_several_sets_are_compared_and_then_shown_one_by_one() -> None:
    page = render_page([ReportedSet("one", image_set()), ReportedSet("two", text_set())])
    assert "<h1>2 distilled sets</h1>" in page
    assert page.count('<h2 id="comparison">') == 1
    assert 'href="#set-1"' in page
    assert '<h2>two</h2>\n<p class="from">blobs: 2 synthetic sentences</p>' in page
    assert len(set(ids := re.findall(r' id="([^"]+)"', page))) == len(ids)


def test_only_the_first_of_many_items_are_drawn_and_the_page_says_so() -> None:
    data = image_set(
        items=waves(1000, 3, 8, 8).float(), labels=waves(1000, 250).float(),
        schedule=torch.arange(1000).repeat(2, 1), lrs=torch.full((2,), 0.1),
        source=SOURCE | {"classes": [f"class {k}" for k in range(250)], "mean": [0.0] * 3, "std": [1.0] * 3},
    )  # fmt: skip
    page = render_page([ReportedSet("x", data)])
    assert page.count("<li ") == 100
    assert "Only the first 100 of 1,000 images are drawn." in visible_text(page)
    assert "one bar for the largest of 3 classes" in page
    assert len(page) < 2e6


@pytest.mark.parametrize("name", ["mnist-10-random.pt", "mnist-10.pt"])
def test_the_page_of_ten_images_is_small(name: str) -> None:
    page = render_page([ReportedSet(name, DistilledSet.load(ZOO / name))])
    assert 20_000 < len(page.encode()) < 80_000
    assert "mnist: 10 synthetic images" in page


ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_subnormal=False)
    | st.text(max_size=5)
    | st.just(torch.ones(2)),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(max_size=3), parts, max_size=3),
    max_leaves=5,
)
KEYS = {
    "scores": ["accuracy", "full_data", "baselines", "accuracy.mean", "accuracy.n", "baselines.random-real"],
    "provenance": [*PROVENANCE, "config.n", "versions.torch"],
    "source": ["mean", "std", "train", "test", "classes.0", "zca"],
    "network": ["arguments", "scheme", "init"],
    "inner": ["momentum", "anything"],
    "text": [
        "nearest.0",
        "nearest.0.1",
        "neighbours",
        "neighbours.cosine",
        "neighbours.cosine.0.1",
        "max_length",
    ],
}


def set_value(node: Any, path: str, value: Any) -> None:
    """Set value at 'a.0.b' in nested dicts and lists."""
    first, _, remainder = path.partition(".")
    key = int(first) if isinstance(node, list) else first
    if remainder:
        set_value(node[key], remainder, value)
    else:
        node[key] = value


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([(f, k) for f, keys in KEYS.items() for k in keys]), ANYTHING)
def test_the_page_is_made_whatever_the_dicts_of_a_file_hold(key_path: tuple[str, str], value: Any) -> None:
    field, path = key_path
    data = copy.deepcopy(text_set() if field == "text" else image_set())
    set_value(getattr(data, field), path, value)
    try:
        data = dataclasses.replace(data)
    except SetError:
        return  # refused where it is loaded
    log = [{"step": value, "loss": 1.0}, {"step": 1, "loss": value}, {"step": 2, "validation": value}]
    page = render_page([ReportedSet("x", data, log), ReportedSet("y", data)])
    for script in re.findall(r'class="data">(.*?)</script>', page, re.DOTALL):
        json.loads(script, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert 'nan"' not in page


def test_numbers_at_the_end_of_their_range_are_drawn_as_numbers() -> None:
    labels = torch.full((3, 3), torch.finfo(torch.float32).max)
    page = render_page(
        [
            ReportedSet(
                "x",
                image_set(labels=labels, lrs=labels[0].repeat(2)[:4], items=1e38 * waves(3, 1, 8, 8).float()),
            )
        ]
    )
    assert not re.search(r"\b(nan|inf|Infinity|NaN)\b", page.split("<script>")[0])
    page_of_text = render_page([ReportedSet("x", text_set(items=1e38 * waves(2, 4, 8).float()))])
    assert not re.search(r"\b(nan|inf|Infinity|NaN)\b", page_of_text.split("<script>")[0])


# The command


def test_the_command_writes_one_page_of_runs_and_sets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "a" / "run", image_set())
    write_run(tmp_path / "b" / "run", text_set())
    small_set().save(tmp_path / "plain.pt")
    paths = [str(tmp_path / name) for name in ("a/run", "b/run", "plain.pt")]
    assert report([*paths, "--out", str(tmp_path / "all.html"), "--json"]) == 0
    result = read_json_line(capsys.readouterr().out)
    assert result["sets"] == [*paths[:2], "plain"]
    assert result["bytes"] == (tmp_path / "all.html").stat().st_size
    assert (tmp_path / "all.html").read_text(encoding="utf-8").count('class="slider"') == 2


BAD = {
    "name a run folder or a set": [],
    "no such file": ["none.pt"],
    "holds no set.pt: it is not a run, or --resume": ["empty"],
    "is truncated, damaged": ["cut.pt"],
    "is a foreign file": ["foreign.pt"],
    "must name a file that ends in .html": ["good.pt", "--out", "good.pt"],
    "there is no folder": ["good.pt", "--out", "nowhere/report.html"],
    "cannot be written": ["good.pt", "--out", "/proc/report.html"],
    "history.pt cannot be read": ["good.pt", "damaged"],
}


@pytest.mark.parametrize("sentence", BAD)
def test_bad_input_is_one_sentence_and_nothing_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], sentence: str
) -> None:
    monkeypatch.chdir(tmp_path)
    small_set().save("good.pt")
    Path("cut.pt").write_bytes(Path("good.pt").read_bytes()[:900])
    torch.save({"w": torch.ones(1)}, "foreign.pt")
    Path("empty").mkdir()
    Path("damaged").mkdir()
    small_set().save("damaged/set.pt")
    Path("damaged/history.pt").write_bytes(b"half of it")
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")}
    assert report(BAD[sentence]) == 2
    output = capsys.readouterr()
    assert sentence in output.err
    assert output.err.startswith("distill: ")
    assert output.err.count("\n") == 1
    assert output.out == ""
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before


def test_a_damaged_log_gives_no_curve(tmp_path: Path) -> None:
    small_set().save(tmp_path / "set.pt")
    lines = [
        '{"step": "x"}',
        '{"step": 1, "loss": NaN}',
        "[" * 100_000,
        "\xff",
        '{"step": 1e400, "loss": 2}',
    ]
    (tmp_path / "log.jsonl").write_bytes("\n".join(lines).encode("latin-1"))
    assert report([str(tmp_path), "--out", str(tmp_path / "r.html")]) == 0
    assert "during distillation" not in (tmp_path / "r.html").read_text(encoding="utf-8")
