"""The report page: what it says is what the set holds; whatever a file holds, the page is whole and safe."""

import base64
import copy
import dataclasses
import io
import json
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from distill.commands.report import main as report
from distill.errors import SetError
from distill.report import charts
from distill.report.figures import cost, duration, scores, size, tiles, wilson
from distill.report.items import Shown, frames, pictures_of, sentence, spread
from distill.report.page import html
from distill.runs.files.history import keep, read
from distill.runs.files.log import read_log
from distill.sets.distilled import DistilledSet
from distill.sets.storage import write_text
from tests.helpers import small_set, waves

ZOO = Path(__file__).parents[2] / "zoo"
SCORES = {
    "accuracy": {"mean": 0.9, "std": 0.0, "n": 1, "split": "test", "weights": "fixed"},
    "full_data": 0.98,
    "baselines": {"random-real": {"mean": 0.3, "std": 0.05, "n": 20, "rates": "rate 0.1"}},
}
PROVENANCE = {
    "command": "python -m distill.mnist --n 3", "config": {"n": 3, "network": "mlp"}, "seed": 0,
    "versions": {"torch": "2.4"}, "seconds": 75.0, "outer_steps": 40, "chosen_step": 40, "peak_mib": 300.5,
    "skipped": 0, "rollbacks": 0, "created": "2026-11-22",
}  # fmt: skip
SOURCE = {
    "name": "blobs",
    "classes": ["a", "b", "c"],
    "mean": [0.3],
    "std": [0.2],
    "train": 1000,
    "test": 100,
}
FACTS = {
    "tokenizer": "split", "vectors": "v", "checksum": "0", "unknown": "zeros", "dim": 8, "length": 4,
    "max_length": 20, "files": [],
}  # fmt: skip


def text_set(n: int = 2, length: int = 4, **changes: Any) -> DistilledSet:
    """A set of sentences with words of its own, five near each."""
    nearest = [[f"w{i}-{p}" for p in range(length)] for i in range(n)]
    near = [[[word, "two", "three", "four", "five"] for word in item] for item in nearest]
    text = {**FACTS, "nearest": nearest, "neighbours": {"cosine": near, "euclidean": near}}
    content = {"items": waves(n, length, 8).float(), "text": text, "scores": SCORES, "provenance": PROVENANCE}
    return small_set(n, **(content | {"source": SOURCE} | changes))


def image_set(**changes: Any) -> DistilledSet:
    return small_set(**({"scores": SCORES, "provenance": PROVENANCE, "source": SOURCE} | changes))


def write_run(folder: Path, data: DistilledSet, steps: int = 40) -> Path:
    """A run folder as the main job leaves it: log, history and set."""
    folder.mkdir(parents=True)
    lines = [{"step": s, "loss": 2 / s, "seconds": s} for s in range(1, steps + 1)]
    lines = [
        line | ({"validation": 0.5 + line["step"] / 100} if line["step"] % 10 == 0 else {}) for line in lines
    ]
    write_text(folder / "log.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    text = data.text
    for step in range(steps):
        items = data.items + waves(*data.items.shape, phase=step).float() / (1 + step)
        keep(folder, step, items, data.labels * (step + 1) / steps, lambda _: text)
    data.save(folder / "set.pt")
    return folder


def run_of(folder: Path) -> Shown:
    return Shown(folder.name, DistilledSet.load(folder / "set.pt"), read_log(folder), read(folder))


def decoded(uri: str) -> Any:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,")))))


def visible(page: str) -> str:
    """The page's words: no tags, one space between two."""
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", page))


# Items


@pytest.mark.parametrize(("channels", "shape"), [(1, (8, 8)), (3, (8, 8, 3)), (2, (8, 16)), (4, (8, 32))])
def test_a_picture_has_the_items_own_pixels(channels: int, shape: tuple[int, ...]) -> None:
    items = waves(2, channels, 8, 8).float()
    source = {"mean": [0.1] * channels, "std": [2.0] * channels}
    ((_, uri),) = pictures_of(
        frames(Shown("x", image_set(items=items, source=SOURCE | source, n=2)))[:1], source
    )
    found, wanted = (
        decoded(uri),
        items[1].movedim(0, -1) if channels == 3 else items[1].movedim(0, 1).flatten(1),
    )
    assert found.shape == shape
    low, high = wanted.min(), wanted.max()
    np.testing.assert_allclose(found / 255, ((wanted - low) / (high - low)).squeeze(-1).numpy(), atol=0.003)


def test_whitened_images_are_shown_unwhitened() -> None:
    part, mean = waves(16, 16).float(), waves(16, phase=9).float()
    matrix = torch.eye(16) + 0.1 * (part + part.T)
    seen = waves(2, 1, 4, 4, phase=5).float()
    items = ((seen.flatten(1) - mean) @ matrix).view_as(seen)
    source = {"zca": {"mean": mean, "matrix": matrix}, "mean": [0.0], "std": [1.0]}
    data = image_set(n=2, items=items, source=SOURCE | source)
    ((first, _),) = pictures_of(frames(Shown("x", data)), data.source)
    plain = image_set(n=2, items=seen, source=SOURCE | {"mean": [0.0], "std": [1.0]})
    ((wanted, _),) = pictures_of(frames(Shown("x", plain)), plain.source)
    np.testing.assert_allclose(decoded(first).astype(int), decoded(wanted).astype(int), atol=1)


def test_items_that_are_not_images_are_drawn_as_rows_of_numbers() -> None:
    data = image_set(items=waves(3, 20).float())
    ((first, *_),) = pictures_of(frames(Shown("x", data)), data.source)
    assert decoded(first).shape == (1, 20)
    assert "blobs in 3 items" in html([Shown("x", data)])


def test_a_label_speaks_of_as_many_classes_as_share_it_evenly() -> None:
    assert spread([0.0, 3.0, 0.0]) == pytest.approx(1)
    assert spread([1.0, -1.0, 1.0, 1.0, 0.0]) == pytest.approx(4)
    assert spread([0.1, 0.7, -0.2]) == pytest.approx(spread([1.0, 7.0, -2.0]))
    entropy = -sum(p * math.log(p) for p in (0.2, 0.3, 0.5))
    assert spread([0.2, 0.3, 0.5]) == pytest.approx(math.exp(entropy))
    assert spread([0.0, 0.0]) == 1


def test_bars_stand_on_zero_and_reach_their_values() -> None:
    up, down = charts.bars([1.0, -0.5, 0.0], low=-1.0, high=3.0)
    assert (up, down) == ("M0.1 30.0v-10.0h.8v10.0z", "M1.1 30.0v5.0h.8v-5.0z")
    assert charts.columns([0.1, -9.0, 0.2] * 84)[:2] == [-9.0, -9.0]  # 252 classes: 84 bars of three
    assert len(charts.columns([0.0] * 1000)) == 100


def test_a_words_strength_is_its_vectors_share_of_the_longest() -> None:
    data = text_set()
    words = [sentence(frames(Shown("x", data))[0], i) for i in range(2)]
    lengths = data.items.norm(dim=2)
    assert max(word["share"] for item in words for word in item) == 1
    assert words[1][2]["share"] == pytest.approx(float(lengths[1, 2] / lengths.max()), abs=1e-3)
    assert words[1][2]["near"] == ["w1-2 two three four five"] * 2


# Steps


def test_the_exported_items_stand_among_the_looks_where_they_were_chosen(tmp_path: Path) -> None:
    late = PROVENANCE | {"outer_steps": 30, "chosen_step": 12}
    folder = write_run(tmp_path / "run", image_set(provenance=late))
    found = frames(run_of(folder))
    assert [(f.step, f.exported) for f in found] == [(0, False), (8, False), (12, True), (16, False)]
    again = frames(Shown("x", image_set(provenance=late)))  # step 32 is of a run that was killed
    assert [(f.step, f.exported) for f in again] == [(12, True)]


def test_looks_at_other_items_are_left_out(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", image_set(n=3))
    assert len(frames(Shown("x", image_set(n=2), looks=read(folder)))) == 1


def test_a_caption_tells_the_loss_and_the_score_of_its_own_step(tmp_path: Path) -> None:
    page = html([run_of(write_run(tmp_path / "run", image_set()))])
    assert "exported: outer step 40, outer loss 0.0" in page
    assert "held-out accuracy 90.0 %" in page
    assert "Held-out accuracy: from 60.0 % at step 10 to 90.0 % at step 40" in page


def test_a_curve_goes_from_its_first_value_down_to_its_last() -> None:
    curve = charts.curve("loss", [(1, 100.0), (50, 10.0), (100, 1.0)], percent=False)
    assert curve is not None
    assert curve.path == "M10 0.0L500 150.0L1000 300.0"
    assert curve.heights == ("100", "10", "1")
    assert curve.words == "from 100 at step 1 to 1 at step 100; lowest 1 at step 100"
    assert charts.curve("loss", [(1, 2.0)], percent=False) is None
    assert charts.curve("share", [(0, 1.0), (0, 1.0)], percent=True) is None
    flat = charts.curve("share", [(1, 1.0), (2, 1.0)], percent=True)
    assert flat is not None
    assert flat.heights == ("100 %", "95 %", "90 %")


def test_a_long_curve_keeps_its_end_and_few_points() -> None:
    curve = charts.curve("loss", [(s, 1 / s) for s in range(1, 10_001)], percent=False)
    assert curve is not None
    assert 300 < curve.path.count("L") <= charts.POINTS
    assert curve.path.endswith(f"L{charts.WIDE} {charts.TALL:.1f}")


# Figures


def test_scores_say_whose_spread_they_show() -> None:
    rows = {row["key"]: row for row in scores(image_set())}
    assert rows["set"]["words"] == "90.00 %"
    assert rows["set"]["spread"] == "95 % interval 82.56 to 94.48 %, one network on 100 items"
    assert rows["random-real"]["words"] == "30.00 ± 5.00 %"
    assert rows["random-real"]["spread"] == "standard deviation of 20 networks"
    assert rows["random-real"]["low"] == pytest.approx(0.25)
    assert rows["all"]["name"] == "all 1,000 real images"
    assert ("91.8 %", "of what all data give") in tiles(image_set())


def test_wilsons_interval_is_the_published_one() -> None:
    assert wilson(0.5, 100) == pytest.approx((0.4038, 0.5962), abs=1e-4)
    assert wilson(1.0, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)
    assert wilson(0.0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)


def test_the_cost_counts_bytes_of_both_sides() -> None:
    rows = dict(cost(image_set()))
    learned = 4 * (3 * 64 + 3 * 3 + 4) + 8 * 4 * 3  # items, labels, rates; the schedule of whole numbers
    assert rows["the set"] == f"{learned} bytes of items, labels, rates and schedule"
    assert rows["the real data"].startswith("64 kB (1,000 images of 64 numbers, a byte each): ")
    assert f"{64_000 / learned:,.0f} times" in rows["the real data"]
    assert rows["distilling"] == "1 min 15 s"
    assert rows["peak memory of the process"].startswith("300 MiB")
    texts = dict(cost(text_set()))["the real data"]
    assert texts.startswith(
        "80 kB (1,000 texts as 20 word numbers of 4 bytes each, without the word vectors)"
    )


def test_sizes_and_times_are_in_units_that_people_read() -> None:
    assert [size(b) for b in (12, 1500, 37_000, 43_120_000)] == ["12 bytes", "1.5 kB", "37 kB", "43 MB"]
    assert [duration(s) for s in (0.5, 75, 7300)] == ["0.5 s", "1 min 15 s", "2 h 1 min"]


# The page


def test_the_page_is_one_file_that_needs_nothing_else(tmp_path: Path) -> None:
    page = html([run_of(write_run(tmp_path / "run", image_set()))])
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", page)
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org/2000/svg)", page)
    assert "default-src 'none'; img-src data:;" in page
    assert "unsafe" not in page


HOSTILE = "</script><img src=x onerror=alert(1)>"


@pytest.mark.parametrize("make", [image_set, text_set])
def test_nothing_that_a_file_says_becomes_markup(make: Any) -> None:
    plain = html([Shown("x", make())])
    evil = dict.fromkeys(("command", "created", "seed"), HOSTILE) | {"versions": {HOSTILE: HOSTILE}}
    data = make(
        source=SOURCE | {"name": HOSTILE, "classes": [HOSTILE] * 3},
        provenance=PROVENANCE | evil | {"config": {HOSTILE: HOSTILE}},
        scores={**SCORES, "baselines": {HOSTILE: {"mean": 0.5}}},
        network={"name": HOSTILE, "arguments": {HOSTILE: HOSTILE}, "init": "random", "scheme": HOSTILE},
    )
    if data.text:
        data.text["nearest"][0][0] = HOSTILE
    page = html([Shown(HOSTILE, data)])
    assert page.count("<script") == plain.count("<script") == 2
    assert "<img src=x" not in page
    assert page.count("&lt;img src=x onerror=alert(1)&gt;") > 10
    (told,) = re.findall(r'class="told">(.*?)</script>', page, re.DOTALL)
    assert HOSTILE in json.loads(told)["names"].values()


def test_several_sets_are_compared_and_then_shown_one_by_one() -> None:
    page = html([Shown("one", image_set()), Shown("two", text_set())])
    assert "<h1>2 distilled sets</h1>" in page
    assert page.count('<h2 id="compared">') == 1
    assert 'href="#set-1"' in page
    assert "<h2>two: blobs in 2 sentences</h2>" in page
    assert len(set(ids := re.findall(r' id="([^"]+)"', page))) == len(ids)


def test_of_many_items_and_classes_few_are_drawn_and_the_page_says_so() -> None:
    many = image_set(
        items=waves(1000, 3, 8, 8).float(), labels=waves(1000, 250).float(),
        schedule=torch.arange(1000).repeat(2, 1), lrs=torch.full((2,), 0.1),
        source=SOURCE | {"classes": [f"class {k}" for k in range(250)], "mean": [0.0] * 3, "std": [1.0] * 3},
    )  # fmt: skip
    page = html([Shown("x", many)])
    assert page.count("<li ") == 100
    assert "The first 100 of 1,000 images are drawn." in visible(page)
    assert "each bar is the largest of 3 classes" in page
    assert len(page) < 2e6


@pytest.mark.parametrize("name", ["mnist-10-random.pt", "mnist-10.pt"])
def test_the_page_of_ten_images_is_small(name: str) -> None:
    page = html([Shown(name, DistilledSet.load(ZOO / name))])
    assert 20_000 < len(page.encode()) < 200_000
    assert "mnist in 10 images" in page


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


def put(place: Any, path: str, value: Any) -> None:
    """Put value at 'a.0.b' of nested dicts and lists."""
    first, _, rest = path.partition(".")
    key = int(first) if isinstance(place, list) else first
    if rest:
        put(place[key], rest, value)
    else:
        place[key] = value


@settings(max_examples=40, deadline=None)
@given(st.sampled_from([(f, k) for f, keys in KEYS.items() for k in keys]), ANYTHING)
def test_whatever_a_loaded_files_dicts_hold_the_page_is_made(place: tuple[str, str], value: Any) -> None:
    field, path = place
    data = copy.deepcopy(text_set() if field == "text" else image_set())
    put(getattr(data, field), path, value)
    try:
        data = dataclasses.replace(data)
    except SetError:
        return  # refused where it is loaded
    log = [{"step": value, "loss": 1.0}, {"step": 1, "loss": value}, {"step": 2, "validation": value}]
    page = html([Shown("x", data, log), Shown("y", data)])
    for told in re.findall(r'class="told">(.*?)</script>', page, re.DOTALL):
        json.loads(told, parse_constant=lambda word: pytest.fail(f"{word} is not JSON"))
    assert 'nan"' not in page


def test_numbers_at_the_end_of_their_range_are_drawn_as_numbers() -> None:
    huge = torch.full((3, 3), torch.finfo(torch.float32).max)
    page = html(
        [
            Shown(
                "x", image_set(labels=huge, lrs=huge[0].repeat(2)[:4], items=1e38 * waves(3, 1, 8, 8).float())
            )
        ]
    )
    assert not re.search(r"\b(nan|inf|Infinity|NaN)\b", page.split("<script>")[0])
    words = html([Shown("x", text_set(items=1e38 * waves(2, 4, 8).float()))])
    assert not re.search(r"\b(nan|inf|Infinity|NaN)\b", words.split("<script>")[0])


# The command


def test_the_command_writes_one_page_of_runs_and_sets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path / "a" / "run", image_set())
    write_run(tmp_path / "b" / "run", text_set())
    small_set().save(tmp_path / "plain.pt")
    places = [str(tmp_path / place) for place in ("a/run", "b/run", "plain.pt")]
    assert report([*places, "--out", str(tmp_path / "all.html"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert told["sets"] == [*places[:2], "plain"]
    assert told["bytes"] == (tmp_path / "all.html").stat().st_size
    assert (tmp_path / "all.html").read_text(encoding="utf-8").count('class="scrub"') == 2


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
    said = capsys.readouterr()
    assert sentence in said.err
    assert said.err.startswith("distill: ")
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before


def test_a_log_of_rubbish_is_no_curve(tmp_path: Path) -> None:
    small_set().save(tmp_path / "set.pt")
    rubbish = [
        '{"step": "x"}',
        '{"step": 1, "loss": NaN}',
        "[" * 100_000,
        "\xff",
        '{"step": 1e400, "loss": 2}',
    ]
    (tmp_path / "log.jsonl").write_bytes("\n".join(rubbish).encode("latin-1"))
    assert report([str(tmp_path), "--out", str(tmp_path / "r.html")]) == 0
    assert "The outer loop" not in (tmp_path / "r.html").read_text(encoding="utf-8")
