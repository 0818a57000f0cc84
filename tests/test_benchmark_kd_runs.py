"""What a run of the benchmark keeps: parameters, the log of epochs, searched weights, curves."""

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from benchmarks.kd import runs
from benchmarks.kd.runs import Job, find_files, run_job, train_recipe
from tests.helpers import write_npz
from tests.recipes import CE, NET, build_raw_recipe, kd, parse_recipe
from tests.test_benchmark_kd_tables import write_run


def write_search(folder: Path) -> None:
    """A recipe that searches which of two layers of its teacher to follow."""
    aggregate = {"loss": "aggregate", "teacher": "teacher", "tap": "0.3", "layers": ["0.3", "0.4"]}
    networks = {
        "teacher": {"name": "cifar-resnet", "width": 4, "depth": 14},
        "scout": {"name": "cifar-resnet", "width": 4, "depth": 8},
    }
    stages = [
        {"turns": {"teacher": [CE]}},
        {"turns": {"scout": [CE, aggregate]}, "search": True, "epochs": 2},
    ]
    (folder / "some.yaml").write_text(yaml.safe_dump(build_raw_recipe(folder, networks, stages)))


def test_a_run_keeps_what_a_search_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.kd.RECIPES", tmp_path)
    write_search(tmp_path)
    assert run_job(tmp_path, Job("some", 2)) is None
    (path,) = find_files(tmp_path, "some", "alphas.json")
    (shares,) = json.loads(path.read_text())["teacher"].values()
    assert sum(shares) == pytest.approx(1)
    assert shares[0] != 0.5


def test_a_run_keeps_parameters_and_the_seconds_of_each_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.kd.RECIPES", tmp_path)
    networks = {"teacher": {"name": "linear"}, "student": {"name": "linear", "subclasses": 2}}
    stages = [{"turns": {"teacher": [CE]}, "epochs": 3}, {"turns": {"student": kd("teacher")}, "epochs": 2}]
    (tmp_path / "some.yaml").write_text(yaml.safe_dump(build_raw_recipe(tmp_path, networks, stages)))
    assert run_job(tmp_path, Job("some", 0)) is None
    scores = json.loads((tmp_path / "some-s0" / "scores.json").read_text())
    classes, pixels = 3, 8 * 8
    assert scores["parameters"] == {"teacher": classes * (pixels + 1), "student": 2 * classes * (pixels + 1)}
    log = [json.loads(line) for line in (tmp_path / "some-s0" / "log.jsonl").read_text().splitlines()]
    assert [(record["stage"], record["epoch"]) for record in log] == [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2)]
    assert all(record["seconds"] > 0 for record in log)
    assert not (tmp_path / "some-s0" / "alphas.json").exists()


def test_a_curve_ends_at_the_score_and_watching_changes_nothing(tmp_path: Path) -> None:
    write_npz(tmp_path / "blobs.npz")
    stages = [{"turns": {"plain": [CE], "kd": kd("plain")}, "epochs": 4}]
    recipe = parse_recipe(build_raw_recipe(tmp_path, {"plain": NET, "kd": NET}, stages))
    watched, alone = train_recipe(recipe, ("kd",)), train_recipe(recipe)
    assert list(watched.curves) == ["kd"]
    assert alone.curves == {}
    accuracies = [right.mean() for right in watched.curves["kd"]]
    assert len(accuracies) == 4
    assert accuracies[-1] == pytest.approx(watched.measured.scores["kd"]["accuracy"])
    for name, classes in watched.measured.predictions["test"].networks.items():
        assert (classes == alone.measured.predictions["test"].networks[name]).all()


def test_the_curves_of_a_run_are_those_of_the_table_curves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("benchmarks.kd.RECIPES", tmp_path)
    monkeypatch.setattr(runs, "CURVES", {"some": ("plain",)})
    stages = [{"turns": {"plain": [CE]}, "epochs": 2}]
    (tmp_path / "some.yaml").write_text(yaml.safe_dump(build_raw_recipe(tmp_path, {"plain": NET}, stages)))
    assert run_job(tmp_path, Job("some", 0)) is None
    with (
        np.load(tmp_path / "some-s0" / "curves.npz") as curves,
        np.load(tmp_path / "some-s0" / "test.npz") as t,
    ):
        assert curves["plain"].shape == (2, len(t["labels"]))
        assert ((t["plain"] == t["labels"]) == curves["plain"][-1]).all()


def test_a_run_of_before_is_passed_over_with_a_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for seed in (0, 1):
        write_run(tmp_path, seed, {"plain": 3})
    (tmp_path / "some-s1" / "alphas.json").write_text("{}")
    assert find_files(tmp_path, "some", "alphas.json") == [tmp_path / "some-s1" / "alphas.json"]
    folder = tmp_path / "some-s0"
    expected = f"some-s0 has no alphas.json, and is passed over: remove {folder} to run it again\n"
    assert capsys.readouterr().out == expected
