"""The page of a recipe's run: it shows what the folder holds; whatever that is, it is complete and safe."""

import copy
import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from distill.commands.report import main as report
from distill.registry import load
from distill.report.page import TEMPLATES
from distill.report.recipes import RECIPE_SECTIONS
from distill.report.recipes.alphas import draw_alphas, to_shares
from distill.report.recipes.curves import draw_chart, draw_run_curves, read_losses
from distill.report.recipes.page import render_run_page
from distill.report.recipes.reported import ReportedRun
from distill.runs.recipes.reported import load_reported_run
from tests.helpers import read_json_line, small_set
from tests.report.sets import HOSTILE, visible_text

RECIPE = {
    "data": {"name": "blobs"},
    "networks": {
        "teacher": {"name": "convnet", "width": 32},
        "student": {"name": "convnet", "width": 8, "depth": 2},
        "both": {"mean_of": ["teacher", "student"]},
    },
    "stages": [
        {"turns": {"teacher": [{"loss": "cross-entropy"}]}, "epochs": 2, "batch": 64},
        {
            "turns": {"student": {"losses": [
                {"loss": "cross-entropy", "weight": 0.1},
                {"loss": "hinton", "teacher": "teacher", "weight": 0.9},
            ]}},
            "epochs": 3, "optimizer": {"name": "SGD", "momentum": 0.9},
        },
    ],
    "seed": 3,
}  # fmt: skip
RESULT = {
    "networks": {"teacher": {"accuracy": 0.9}, "student": {"accuracy": 0.85}, "both": {"accuracy": 0.91}},
    "seconds": 75.0, "items": {"train": 500, "test": 100},
    "machine": {"device": "cpu", "torch": "2.9", "peak_mib": 915.7},
}  # fmt: skip
ALPHAS = {"teacher": {"0.6 <- 0.4 0.5": [0.25, 0.75]}}


def make_log(validation: bool = True) -> list[dict[str, Any]]:
    records = []
    for stage, name, epochs in ((0, "teacher", 2), (1, "student", 3)):
        for k in range(1, epochs + 1):
            parts = [{"loss": "cross-entropy", "weight": 0.1 if stage else 1.0, "value": 1 / k}]
            parts += [{"loss": "hinton", "teacher": "teacher@2", "weight": 0.9, "value": 2 / k}] * stage
            loss = sum(part["weight"] * part["value"] for part in parts)
            record = {"stage": stage, "network": name, "epoch": k, "loss": loss, "losses": parts}
            records.append(record | ({"validation": 1 - 0.5 / k} if validation else {}))
    return records


def make_run(**changes: Any) -> ReportedRun:
    content = {
        "recipe": RECIPE,
        "recipe_text": "seed: 3\n",
        "result": RESULT,
        "log": make_log(),
        "alphas": ALPHAS,
    }
    return ReportedRun(**({"name": "kd-s3", "path": "runs/kd-s3"} | content | changes))


def write_run(folder: Path, **files: Any) -> Path:
    """A run's folder with these files in the place of its own."""
    folder.mkdir()
    contents = {"recipe.yaml": yaml.safe_dump(RECIPE), "scores.json": json.dumps(RESULT)}
    contents |= {
        "log.jsonl": "".join(json.dumps(r) + "\n" for r in make_log()),
        "alphas.json": json.dumps(ALPHAS),
    }
    for name, content in (contents | {k.replace("_", "."): v for k, v in files.items()}).items():
        if content is not None:
            (folder / name).write_text(content, encoding="utf-8")
    return folder


@pytest.mark.parametrize("word", RECIPE_SECTIONS)
def test_every_section_has_a_function_and_a_template(word: str) -> None:
    assert callable(load(RECIPE_SECTIONS[word]))
    assert (TEMPLATES / "recipes" / f"{word}.html").is_file()
    assert f'id="run-1-{word}"' in render_run_page([make_run()])
    assert f'id="run-1-{word}"' not in render_run_page([ReportedRun("x", "x")])


def test_the_page_says_who_learned_what_from_whom_and_how_well() -> None:
    words = visible_text(render_run_page([make_run()]))
    for sentence in (
        "blobs: 3 networks in 2 stages",
        "teacher convnet (width 32); learned in stage 1 90.00 % 95 % interval 82.56 to 94.48 % on 100 items",
        "student convnet (width 8, depth 2); learned in stage 2, from teacher 85.00 %",
        "both the mean of teacher, student; did not learn 91.00 %",
        "stage 2 student: 0.1 · cross-entropy + 0.9 · hinton from teacher; 3 epochs, SGD",
        "time 1 min 15 s memory 916 MiB at most items 500 train, 100 test machine device cpu, torch 2.9",
        "distill teach runs/kd-s3/recipe.yaml",
        "0.5 0.750",
    ):
        assert sentence in words, sentence


def test_the_page_needs_nothing_else_and_is_reproducible() -> None:
    page = render_run_page([make_run(), make_run(name="other")])
    assert not re.search(r"""(?:src|href)=["'](?!data:|#)""", page)
    assert not re.search(r"url\(|@import|https?://(?!www\.w3\.org/2000/svg)", page)
    assert page == render_run_page([make_run(), make_run(name="other")])
    assert len(set(ids := re.findall(r' id="([^"]+)"', page))) == len(ids)


def test_several_runs_are_compared_by_their_mean() -> None:
    second = make_run(name="b", result={"networks": {"teacher": {"accuracy": 0.8}}})
    words = visible_text(render_run_page([make_run(), second]))
    assert "2 runs of recipes" in words
    assert "teacher 85.00 ± 7.07 % 90.00 % 80.00 %" in words
    assert "both 91.00 %" in words


def test_a_run_that_has_not_ended_shows_its_curves() -> None:
    words = visible_text(render_run_page([make_run(result={})]))
    assert "This run has not ended: the networks have not been measured." in words
    assert "Loss of student" in words
    assert "Accuracy of the networks" not in words


def test_a_single_loss_is_one_line_and_several_have_their_sum() -> None:
    log = make_log()
    assert read_losses(log[:2]) == {"cross-entropy": [(1, 1.0), (2, 0.5)]}
    lines = read_losses(log[2:])
    assert list(lines) == ["their sum", "cross-entropy", "hinton from teacher"]
    for total, one, other in zip(*lines.values(), strict=True):
        assert total[1] == pytest.approx(one[1] + other[1])


def test_a_loss_that_comes_twice_has_two_lines() -> None:
    part = {"loss": "hint", "teacher": "t", "weight": 1.0, "value": 2.0}
    assert list(read_losses([{"loss": 4.0, "losses": [part, part]}])) == [
        "their sum", "hint from t", "hint from t (2)"
    ]  # fmt: skip


def test_a_line_is_broken_where_a_network_had_other_losses() -> None:
    chart = draw_chart("x", {"a": [(1, 1.0), (2, 2.0), (4, 2.0)]})
    assert chart.lines[0].path == "M250 300.0L500 0.0M1000 0.0h0"
    assert chart.lines[0].words == "from 1 in epoch 1 to 2 in epoch 4; lowest 1 in epoch 1"


def test_the_curves_count_a_network_s_epochs_through_its_stages() -> None:
    log = [{"stage": s, "network": "a", "epoch": 1 + s % 2, "loss": 1.0 + s} for s in (0, 0, 3)]
    content = draw_run_curves(make_run(log=log))
    (chart,) = content["charts"]
    assert not content["measured"]
    assert chart.marks == "M833.3 0V300"  # after the second of three epochs
    assert [line.words for line in chart.lines] == ["from 1 in epoch 1 to 4 in epoch 3; lowest 1 in epoch 1"]
    assert "Held-out accuracy was not measured" in render_run_page([make_run(log=log)])


def test_regularisation_samples_are_drawn_by_epoch_and_a_distance_is_no_share() -> None:
    log = make_log()
    for k, record in enumerate(log[2:]):
        record["losses"][1]["regularising"] = 0.25 * k
    result = {"networks": {"student": {"accuracy": 0.9, "congruence": 1.25, "regularising": 0.5}}}
    run = make_run(log=log, result=result)
    chart = draw_run_curves(run)["charts"][-1]
    assert [line.name for line in chart.lines] == ["student, hinton from teacher"]
    assert chart.lines[0].words == "from 0.0 % in epoch 1 to 50.0 % in epoch 3; highest 50.0 % in epoch 3"
    words = visible_text(render_run_page([run]))
    assert "90.00 % 50.00 % 1.2500 nats" in words
    assert "Regularisation samples are the items" in words


def test_a_group_of_layers_with_long_names_is_drawn() -> None:
    layers = [f"backbone.encoder.layer.{k}.attention.output.dense" for k in range(12)]
    group = f"head <- {' '.join(layers)}"
    run = ReportedRun("x", "x", alphas={"student": {group: [1 / 12] * 12}})
    (drawn,) = draw_alphas(run)["groups"]
    assert (drawn["tap"], [row["name"] for row in drawn["rows"]]) == ("head", layers)


def test_alphas_are_shares() -> None:
    assert to_shares([0.25, 0.75]) == [0.25, 0.75]
    assert to_shares([0.0, math.log(3)]) == pytest.approx([0.25, 0.75])
    assert to_shares([1.0, "x"]) == to_shares([]) == to_shares("x") == to_shares([1.0, math.nan]) == []


def test_no_text_of_a_folder_becomes_markup() -> None:
    recipe = {**RECIPE, "data": {"name": HOSTILE}, "networks": {HOSTILE: {"name": HOSTILE}}}
    stage = {
        "turns": {HOSTILE: [{"loss": HOSTILE, "teacher": HOSTILE}]},
        "optimizer": HOSTILE,
        "augment": HOSTILE,
    }
    parts = [{"loss": HOSTILE, "teacher": HOSTILE, "weight": 1.0, "value": 1.0}]
    run = make_run(
        name=HOSTILE, path=HOSTILE, recipe_text=HOSTILE, recipe=recipe | {"stages": [stage]},
        result={"networks": {HOSTILE: {"accuracy": 0.5}}, "machine": {HOSTILE: HOSTILE}},
        log=[{"network": HOSTILE, "loss": 1.0, "losses": parts}],
        alphas={HOSTILE: {f"{HOSTILE} <- a": [1.0]}},
    )  # fmt: skip
    page = render_run_page([run])
    assert page.count("<script") == 1
    assert "<img src=x" not in page
    assert page.count("&lt;img src=x onerror=alert(1)&gt;") > 10


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_subnormal=False) | st.text(max_size=5),
    lambda parts: st.lists(parts, max_size=3) | st.dictionaries(st.text(max_size=3), parts, max_size=3),
    max_leaves=5,
)
PATHS = [
    "recipe",
    "result",
    "log",
    "alphas",
    "recipe.data",
    "recipe.networks",
    "recipe.networks.teacher",
    "recipe.networks.both.mean_of",
    "recipe.stages",
    "recipe.stages.0",
    "recipe.stages.0.turns",
    "recipe.stages.0.turns.teacher",
    "recipe.stages.0.turns.teacher.0",
    "recipe.stages.1.turns.student.losses",
    "recipe.stages.1.turns.student.losses.1.weight",
    "recipe.stages.0.epochs",
    "recipe.seed",
    "result.networks",
    "result.networks.teacher",
    "result.networks.teacher.accuracy",
    "result.items.test",
    "result.seconds",
    "log.0",
    "log.0.loss",
    "log.0.losses",
    "log.0.losses.0",
    "log.0.losses.0.value",
    "log.0.network",
    "log.0.stage",
    "log.0.validation",
    "alphas.teacher",
]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(PATHS), ANYTHING)
def test_the_page_is_made_whatever_the_files_hold(path: str, value: Any) -> None:
    content: dict[str, Any] = copy.deepcopy(
        {"recipe": RECIPE, "result": RESULT, "log": make_log(), "alphas": ALPHAS}
    )
    *keys, last = path.split(".")
    node: Any = content
    for key in keys:
        node = node[int(key)] if isinstance(node, list) else node[key]
    node[int(last) if isinstance(node, list) else last] = value
    log = (
        [record for record in content["log"] if isinstance(record, dict)]
        if isinstance(content["log"], list)
        else []
    )
    parts = {k: v if isinstance(v, dict) else {} for k, v in content.items() if k != "log"}
    page = render_run_page([make_run(**parts, log=log)])
    assert "</html>" in page
    assert not re.search(r'="[^"]*\b(nan|inf)\b', page)


# The command


def test_the_command_writes_the_page_of_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [str(write_run(tmp_path / name)) for name in ("kd-s0", "kd-s1")]
    out = tmp_path / "page.html"
    assert report([*paths, "--out", str(out), "--json"]) == 0
    assert read_json_line(capsys.readouterr().out)["sets"] == ["kd-s0", "kd-s1"]
    assert "2 runs of recipes" in out.read_text(encoding="utf-8")
    run = load_reported_run(paths[0], "kd-s0")
    assert (run.recipe, run.result, list(run.log), run.alphas) == (RECIPE, RESULT, make_log(), ALPHAS)


@pytest.mark.parametrize("name", ["scores_json", "log_jsonl", "alphas_json"])
@pytest.mark.parametrize(
    "content", ["", "{", "[" * 100_000, "3", "\ud83d".encode("utf-8", "replace").decode()]
)
def test_a_damaged_file_leaves_its_part_out(name: str, content: str, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", **{name: content})
    assert report([str(folder), "--out", str(tmp_path / "page.html")]) == 0
    assert "blobs: 3 networks in 2 stages" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_what_is_no_run_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small_set().save(tmp_path / "set.pt")
    folders = [write_run(tmp_path / "run"), write_run(tmp_path / "damaged", recipe_yaml="a: [1")]
    cases = {
        f"{tmp_path / 'set.pt'} is not a recipe's run, as the others are": [folders[0], tmp_path / "set.pt"],
        "damaged/recipe.yaml, line 1: not YAML of a recipe": [folders[1]],
    }
    for sentence, paths in cases.items():
        assert report([*map(str, paths), "--out", str(tmp_path / "page.html")]) == 2
        error = capsys.readouterr().err
        assert sentence in error
        assert error.count("\n") == 1
    assert not (tmp_path / "page.html").exists()
