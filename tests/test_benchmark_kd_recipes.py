"""The recipes of benchmarks/kd/recipes/ run from end to end on a few generated items."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import machine
from benchmarks.kd import RECIPES, VARIANTS, load_recipe
from benchmarks.kd import __main__ as command
from benchmarks.kd.datasets import PLACES, place_data
from benchmarks.kd.rows import ROWS
from benchmarks.kd.runs import Job, train_and_measure
from distill.kd.recipe.parts import Recipe
from tests.helpers import write_npz

NAMES = sorted([*(path.stem for path in RECIPES.glob("*.yaml")), *VARIANTS])
STUDIED = {"orthogonality", "meeting"}  # recipes of studies, without a row


def shorten(recipe: Recipe) -> Recipe:
    """The same stages on a few items."""
    stages = [
        replace(s, train=s.train and 24, epochs=1, batch=16, search=bool(s.search)) for s in recipe.stages
    ]
    return replace(recipe, stages=stages, data=replace(recipe.data, train=48, test=40))


def write_idx(folder: Path, size: int = 28) -> None:
    """Generated images of ten classes in the files of MNIST and Fashion-MNIST."""
    folder.mkdir()
    for stem, count in (("train", 200), ("t10k", 100)):
        pixels = np.random.default_rng(count).integers(256, size=(count, size, size), dtype=np.uint8)
        head = np.array([2051, count, size, size], ">i4").tobytes()
        (folder / f"{stem}-images-idx3-ubyte").write_bytes(head + pixels.tobytes())
        labels = (np.arange(count) % 10).astype(np.uint8)
        head = np.array([2049, count], ">i4").tobytes()
        (folder / f"{stem}-labels-idx1-ubyte").write_bytes(head + labels.tobytes())


def write_stand_ins(folder: Path) -> None:
    """Generated images of the names and sizes that the recipes read."""
    digits = [str(k) for k in range(10)]
    for name, size in (("cifar10.npz", 32), ("usps.npz", 16)):
        write_npz(folder / name, size=size, classes=digits)
    write_idx(folder / "fashion-mnist")
    (folder / "sst2").mkdir()
    rows = [f"a {'good' if k % 2 else 'bad'} film number {k},{k % 2}" for k in range(120)]
    for split in ("train", "test"):
        (folder / "sst2" / f"{split}.csv").write_text("\n".join(["text,label", *rows]) + "\n")


def test_every_row_has_its_recipe_and_every_recipe_its_row() -> None:
    assert {row.recipe for row in ROWS} | STUDIED == set(NAMES)
    assert len({row.name for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_runs_from_end_to_end(name: str, tmp_path: Path) -> None:
    write_stand_ins(tmp_path)
    changes = place_data(load_recipe(name), tmp_path, tmp_path / "cache")
    assert changes is not None
    recipe = shorten(load_recipe(name, changes))
    measured = train_and_measure(recipe)
    assert set(measured.scores) == set(recipe.networks)
    assert all(0 <= value <= 1 for by_name in measured.scores.values() for value in by_name.values())


@pytest.mark.parametrize("name", NAMES)
def test_without_its_data_a_recipe_is_left_out(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    bundled = recipe.data.name in ("mnist", "mnist-14.npz", "clusters.npz") and recipe.data.target is None
    assert (place_data(recipe, tmp_path, tmp_path) is None) != bundled


@pytest.mark.parametrize("name", NAMES)
def test_a_quick_run_has_a_part_of_the_epochs_of_each_stage(name: str) -> None:
    job = command.shorten_job(Job(name, 0, ("data.train=48",)))
    recipe, short = load_recipe(name), load_recipe(name, job.changes)
    epochs = [max(1, stage.epochs // command.QUICK) for stage in recipe.stages]
    assert [stage.epochs for stage in short.stages] == epochs
    assert short.data.train == 48
    assert [stage.turns for stage in short.stages] == [stage.turns for stage in recipe.stages]


def test_a_quick_run_of_all_rows_takes_about_ten_minutes() -> None:
    """By the seconds of one seed of each recipe that the results hold."""
    rows = json.loads((machine.RESULTS / "kd.json").read_text(encoding="utf-8"))["rows"]
    seconds = {row["recipe"]: row["seconds"] for row in rows}
    assert 200 < sum(seconds.values()) / command.QUICK < 600


def test_the_help_names_the_data_that_recipes_read() -> None:
    files = {name for path in RECIPES.glob("*.yaml") for name in PLACES
             if re.search(rf"\b{name.partition('.')[0]}\b", path.read_text(encoding="utf-8"))}  # fmt: skip
    assert files == set(PLACES)
    assert command.__doc__ is not None
    assert [name for name in PLACES if name not in command.__doc__] == []
