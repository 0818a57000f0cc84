"""Runs, resumed; rows from their predictions; and what the tables say."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from benchmarks.kd import FIRST_SEEDS, rows, runs, tables
from benchmarks.kd import __main__ as command
from benchmarks.kd.datasets import halve_images, place_data
from benchmarks.kd.protocol import PUBLISHED
from benchmarks.kd.rows import Row
from benchmarks.kd.runs import Job, list_seeds, run_job, stack_correct
from benchmarks.kd.tables import build_row, build_rows, format_rows
from distill.kd.recipe.files import read_recipe
from tests.helpers import write_npz
from tests.recipes import CE, NET, build_raw_recipe, kd

ROW = Row("distillation", "some", "kd", "plain", "authors")


def find_folder(root: Path, recipe: str, seed: int) -> Path:
    """Where a run is kept whose seed counts from the recipe's first."""
    return Job(recipe, FIRST_SEEDS.get(recipe, 0) + seed).folder(root)


def write_run(root: Path, seed: int, wrong: dict[str, int], recipe: str = "some", items: int = 400) -> None:
    """A run whose networks are wrong on so many items, the first ones."""
    folder = find_folder(root, recipe, seed)
    folder.mkdir(parents=True)
    labels = np.arange(items) % 10
    arrays = {name: np.where(np.arange(items) < n, labels + 1, labels) for name, n in wrong.items()}
    np.savez(folder / "test.npz", labels=labels, **arrays)
    (folder / "scores.json").write_text(json.dumps({"networks": {}, "seconds": 10.0}))


def test_a_row_takes_differences_item_by_item(tmp_path: Path) -> None:
    for seed in range(10):
        write_run(tmp_path, seed, {"plain": 80 + seed, "kd": 40 + seed})
    row = build_row(tmp_path, ROW)
    assert row is not None
    assert row["difference"]["mean"] == pytest.approx(0.1)
    assert row["difference"]["verdict"] == "shown"
    assert row["difference"]["low"] == pytest.approx(0.1 - 2.384 * 0.3 / 400**0.5, abs=0.01)
    assert row["student_scores"][0] == pytest.approx(0.9)
    text = format_rows([row])
    assert "| distillation | `some`: `kd` | 88.9 | `plain` | 78.9 | +10.00 (" in text
    assert "| shown | 10 | authors |" in text


def test_the_seeds_of_a_row_are_in_order_whatever_the_folders(tmp_path: Path) -> None:
    for seed in (10, 2, 0):
        write_run(tmp_path, seed, {"plain": seed, "kd": 0})
    assert list_seeds(tmp_path, "some") == [0, 2, 10]
    correct = stack_correct(tmp_path, "some", "plain")
    assert correct is not None
    assert (400 - correct.sum(axis=1)).tolist() == [0, 2, 10]


def test_where_nothing_is_shown_the_smallest_effect_stands(tmp_path: Path) -> None:
    for seed in range(10):
        write_run(tmp_path, seed, {"plain": 40, "kd": 40})
    row = build_row(tmp_path, ROW)
    assert row is not None
    assert "not shown (could show 0.00)" in format_rows([row])


def test_a_row_without_a_new_run_stays_and_without_any_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.machine.RESULTS", tmp_path / "results")
    monkeypatch.setattr(tables, "ROWS", [ROW, Row("other", "another", "kd", "plain")])
    for seed in range(10):
        write_run(tmp_path / "one", seed, {"plain": 40, "kd": 20})
    tables.write_rows(tmp_path / "one")
    tables.write_rows(tmp_path / "two")
    names = [row["name"] for row in json.loads((tmp_path / "results" / "kd.json").read_text())["rows"]]
    assert names == ["distillation"]
    assert build_rows(tmp_path / "two", []) == []


def test_a_row_of_few_seeds_is_printed_and_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("benchmarks.machine.RESULTS", tmp_path / "results")
    monkeypatch.setattr(tables, "ROWS", [ROW])
    for seed in range(9):
        write_run(tmp_path, seed, {"plain": 40, "kd": 20})
    tables.write_rows(tmp_path)
    assert json.loads((tmp_path / "results" / "kd.json").read_text())["rows"] == []
    assert (
        tmp_path / "results" / "kd.md"
    ).read_text() == "No row has 10 seeds yet: `make bench-kd` goes on.\n"
    assert "| shown | 9 |" in capsys.readouterr().out


def write_recipe(folder: Path, lr: float = 0.01) -> None:
    stage = {"turns": {"teacher": [CE], "plain": [CE], "kd": kd("teacher")}, "lr": lr}
    raw = build_raw_recipe(folder, {"teacher": {**NET, "seed": 1}, "plain": NET, "kd": NET}, [stage])
    (folder / "some.yaml").write_text(yaml.safe_dump(raw))


def test_a_run_keeps_predictions_and_is_not_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_recipe(tmp_path)
    monkeypatch.setattr("benchmarks.kd.RECIPES", tmp_path)
    assert run_job(tmp_path, Job("some", 3)) is None
    folder = Job("some", 3).folder(tmp_path)
    scores = json.loads((folder / "scores.json").read_text())["networks"]
    for name in ("plain", "kd"):
        correct = stack_correct(tmp_path, "some", name)
        assert correct is not None
        assert correct.mean() == pytest.approx(scores[name]["accuracy"])
    (folder / "scores.json").write_text("{}")
    assert run_job(tmp_path, Job("some", 3)) is None
    assert (folder / "scores.json").read_text() == "{}"


def test_seeds_change_the_weights_but_not_the_test_items(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_recipe(tmp_path, lr=1e-6)
    monkeypatch.setattr("benchmarks.kd.RECIPES", tmp_path)
    for seed in (0, 1):
        run_job(tmp_path, Job("some", seed))
    first, second = (np.load(tmp_path / f"some-s{seed}" / "test.npz") for seed in (0, 1))
    assert (first["labels"] == second["labels"]).all()
    assert (first["plain"] != second["plain"]).any()


def test_a_recipe_that_cannot_be_run_is_named_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_recipe(tmp_path)
    monkeypatch.setattr("benchmarks.kd.RECIPES", tmp_path)
    message = run_job(tmp_path, Job("some", 0, ("data.name=nothing.npz",)))
    assert message is not None
    assert message.startswith("some, seed 0: ")
    assert not (tmp_path / "some-s0" / "scores.json").exists()


def test_the_quick_table_is_printed_and_no_result_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_recipe(tmp_path)
    monkeypatch.setattr("benchmarks.machine.RESULTS", tmp_path / "results")
    monkeypatch.setattr("benchmarks.kd.RECIPES", tmp_path)
    for module in (command, rows, tables):
        monkeypatch.setattr(module, "ROWS", [ROW])
    monkeypatch.setitem(PUBLISHED, "some", "a recipe of this test")
    monkeypatch.setattr(command, "run_all", lambda root, jobs, _: [run_job(root, job) for job in jobs])
    monkeypatch.setattr("sys.argv", ["kd", "--quick", "--only", "some", "--out", str(tmp_path / "out")])
    command.main()
    assert "| distillation | `some`: `kd` |" in capsys.readouterr().out
    assert list_seeds(tmp_path / "out" / "quick", "some") == [0]
    assert not (tmp_path / "results").exists()


def test_the_command_writes_the_tables_of_all_studies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table of subclasses stood in the list, and was not written."""
    written: list[int] = []
    monkeypatch.setattr(command, "WRITERS", [lambda _, k=k: written.append(k) for k in range(3)])
    monkeypatch.setattr("sys.argv", ["kd", "--table", "--out", str(tmp_path / "out")])
    command.main()
    assert written == [0, 1, 2]


def test_halved_images_are_means_of_four_pixels() -> None:
    x = np.arange(2 * 4 * 4 * 3).reshape(2, 4, 4, 3).astype(np.uint8)
    half = halve_images(x)
    assert half.shape == (2, 2, 2, 3)
    assert half[0, 0, 0].tolist() == x[0, :2, :2].reshape(4, 3).mean(axis=0).round().tolist()


def test_data_are_found_by_the_names_of_the_recipes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_npz(tmp_path / "cifar10.npz", size=32)
    raw = build_raw_recipe(tmp_path, {"plain": NET}, [{"turns": {"plain": [CE]}}])
    raw["data"] = {"name": "cifar10-16.npz"}
    (tmp_path / "some.yaml").write_text(yaml.safe_dump(raw))
    recipe = read_recipe(tmp_path / "some.yaml")
    assert place_data(recipe, tmp_path / "nowhere", tmp_path / "cache") is None
    assert place_data(recipe, tmp_path, tmp_path / "cache") == [
        f"data.name={tmp_path / 'cache' / 'cifar10-16.npz'}"
    ]
    assert np.load(tmp_path / "cache" / "cifar10-16.npz")["x_train"].shape[1:3] == (16, 16)


def test_a_recipe_chosen_again_is_judged_by_seeds_that_were_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs of before stay in the folder and take no part; the row says which seeds are its own."""
    monkeypatch.setattr(runs, "FIRST_SEEDS", {"some": 10})
    for seed in range(20):
        write_run(tmp_path, seed, {"plain": 40, "kd": 80 if seed < 10 else 20})
    row = build_row(tmp_path, ROW)
    assert row is not None
    assert (row["difference"]["mean"], row["difference"]["seeds"]) == (pytest.approx(0.05), 10)
    assert "| shown | 10 (10 to 19) | authors |" in format_rows([row])


def test_the_runs_of_a_recipe_begin_at_its_first_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_recipe(tmp_path)
    monkeypatch.setattr("benchmarks.kd.RECIPES", tmp_path)
    monkeypatch.setattr(command, "FIRST_SEEDS", {"some": 10})
    monkeypatch.setitem(PUBLISHED, "some", "a recipe without a grid")
    jobs = command.list_jobs(["some"], 3, None, tmp_path / "cache")
    assert [job.seed for job in jobs] == [10, 11, 12]
