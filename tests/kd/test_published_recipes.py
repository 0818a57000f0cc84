"""The recipes of benchmarks/kd/ run from end to end on a few digits; and what their tables say of scores."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import kd
from benchmarks.kd import RECIPES, SYSTEMS, build_row, format_rows, interval, verdict
from benchmarks.kd_sets import (
    build_factorial,
    build_meeting,
    describe_interaction,
    format_factorial,
    format_meeting,
)
from distill.kd.measure import score_networks
from distill.kd.recipe.files import read_recipe
from distill.kd.recipe.parts import Recipe
from distill.kd.sources import load_sources
from distill.kd.state.run import RecipeRun
from tests.helpers import write_npz

NAMES = sorted(path.stem for path in RECIPES.glob("*.yaml"))


def shorten(recipe: Recipe) -> Recipe:
    """The same stages on a few items."""
    stages = [
        replace(s, train=s.train and 24, epochs=1, batch=16, bootstrap=s.bootstrap) for s in recipe.stages
    ]
    return replace(recipe, stages=stages, data=replace(recipe.data, train=48, test=40))


def test_every_system_has_its_recipe_and_every_recipe_its_row() -> None:
    assert {system.recipe for system in SYSTEMS} | {"orthogonality", "meeting"} == set(NAMES)
    for system in SYSTEMS:
        networks = read_recipe(RECIPES / f"{system.recipe}.yaml").networks
        assert system.student in networks
        assert system.over in networks or system.over == "chance"
        assert "plain" in networks


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_runs_from_end_to_end(name: str, tmp_path: Path) -> None:
    """The target of uda stands in for USPS: generated images of another size."""
    target = write_npz(tmp_path / "usps.npz", size=16, classes=[str(k) for k in range(10)])
    changes = [f"data.target={target}"] if name == "uda" else []
    recipe = shorten(read_recipe(RECIPES / f"{name}.yaml", changes))
    sources = load_sources(recipe.data, recipe.seed, "cpu")
    run = RecipeRun(recipe, sources)
    assert len(list(run)) == sum(run.count_batches())
    scores = score_networks(recipe, run.networks, sources)
    assert set(scores) == set(recipe.networks)
    assert all(0 <= value <= 1 for by_name in scores.values() for value in by_name.values())


def write_run(root: Path, recipe: str, seed: int, **accuracy: float) -> None:
    folder = root / f"{recipe}-s{seed}"
    folder.mkdir(parents=True)
    networks = {name.replace("_", "-"): {"accuracy": value} for name, value in accuracy.items()}
    (folder / "scores.json").write_text(json.dumps({"networks": networks, "seconds": 10.0}))


def test_a_verdict_follows_from_the_confidence_interval() -> None:
    assert interval([1.0, 2.0, 3.0]) == (2.0, pytest.approx(4.30 / 3**0.5))
    assert interval([0.5])[1] == float("inf")
    assert (verdict(1, 0.5), verdict(-1, 0.5), verdict(0.4, 0.5)) == ("shown", "opposite", "not shown")


def test_a_row_takes_differences_run_by_run(tmp_path: Path) -> None:
    for seed, base in enumerate((0.90, 0.94, 0.98)):
        write_run(tmp_path, "takd", seed, plain=base - 0.02, kd=base, student=base + 0.01)
    system = next(s for s in SYSTEMS if s.recipe == "takd")
    result = build_row(tmp_path, system)
    assert result is not None
    assert result["difference"]["mean"] == pytest.approx(0.01)
    assert result["difference"]["verdict"] == "shown"
    assert "| 92.0 | 94.0 | 95.0 | kd | +1.00 ± 0.00 | 3 |" in format_rows([result])
    assert build_row(tmp_path, next(s for s in SYSTEMS if s.recipe == "rco")) is None


def test_an_interaction_is_the_joint_gain_minus_the_sum_of_the_gains(tmp_path: Path) -> None:
    networks = {"plain": 0.90, "kd": 0.92}
    for name in ("mixup", "smoothing", "augment", "prune", "int8", "separable", "bagging"):
        networks |= {name: 0.91, f"{name}-kd": 0.935}
    scores = {"networks": {name: {"accuracy": value} for name, value in networks.items()}}
    rows = build_factorial([scores, scores], interval)
    assert [round(100 * rows[0][key][0], 6) for key in ("alone", "kd", "both", "interaction")] == [
        1,
        2,
        3.5,
        0.5,
    ]
    assert (
        "| mixup | +1.00 ± 0.00 | +2.00 ± 0.00 | +3.50 ± 0.00 | +0.50 ± 0.00 | more than the sum |"
        in format_factorial(rows)
    )
    assert build_factorial([], interval) == []
    assert [describe_interaction(pair) for pair in ((0.1, 0.2), (-0.3, 0.2))] == [
        "orthogonal",
        "less than the sum",
    ]


def test_the_meeting_table_has_a_row_per_training_set(tmp_path: Path) -> None:
    names = ("all", "all_kd", "all_takd", "few", "few_kd", "few_takd")
    write_run(tmp_path, "meeting", 0, **dict(zip(names, (0.99, 0.98, 0.97, 0.9, 0.92, 0.93), strict=True)))
    scores = {"none": 0.977, "teacher": 0.5, "assistant": 0.6, "relabelled": 0.4}
    (tmp_path / "meeting-s0" / "mnist-10.pt.json").write_text(json.dumps(scores))
    text = format_meeting(build_meeting(tmp_path))
    assert "| 600 images | 90.0 | 92.0 | 93.0 | - | 1 |" in text
    assert "| zoo/mnist-10.pt | 97.7 | 50.0 | 60.0 | 40.0 | 1 |" in text


def test_rows_without_a_new_run_stay_unchanged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.machine.RESULTS", tmp_path / "results")
    write_run(tmp_path / "one", "rco", 0, plain=0.9, kd=0.91, student=0.92)
    kd.write_tables(tmp_path / "one")
    kd.write_tables(tmp_path / "two")
    results = json.loads((tmp_path / "results" / "kd.json").read_text())
    assert [r["system"] for r in results["rows"]] == ["route-constrained"]
