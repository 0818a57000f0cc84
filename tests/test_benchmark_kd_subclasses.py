"""The table of clusters; what subclasses find, and when a student is where another one ends."""

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.kd.datasets import BITS, COLUMNS, DISTANCE, draw_clusters
from benchmarks.kd.studies import subclasses
from benchmarks.kd.studies.subclasses import (
    STUDENTS,
    build_found,
    build_speed,
    find_epochs,
    format_epochs,
    format_found,
    format_speed,
    load_curves,
    write_subclasses,
)
from distill.data import images
from distill.data.dataset import Dataset
from tests.test_benchmark_kd_tables import find_folder

CLUSTERS = 2**BITS


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> tuple[Dataset, Dataset]:
    path = tmp_path_factory.mktemp("table") / "clusters.npz"
    np.savez(path, **draw_clusters())
    return images.load(str(path), None, "cpu")


def test_a_row_is_an_image_of_one_row_and_all_clusters_are_as_large(table: tuple[Dataset, Dataset]) -> None:
    train, test = table
    assert train.shape == (1, 1, COLUMNS)
    for split in table:
        counts = np.bincount(split.labels.numpy())
        assert len(counts) == CLUSTERS
        assert np.abs(counts - len(split) / CLUSTERS).max() < 1
    assert not set(map(bytes, train.items[:500].numpy())) & set(map(bytes, test.items[:500].numpy()))


def test_centres_are_the_vertices_of_a_cube_and_the_rest_is_noise(table: tuple[Dataset, Dataset]) -> None:
    """Of the clusters' means, four singular values are those of the cube; the noise has none."""
    train = table[0]
    x = 20 * (train.items.numpy().reshape(len(train), COLUMNS) - 0.5)
    means = np.stack([x[train.labels.numpy() == k].mean(axis=0) for k in range(CLUSTERS)])
    values = np.linalg.svd(means, compute_uv=False)
    assert values[BITS - 1] > 5 * values[BITS]
    assert np.abs(means[:, COLUMNS // 2 :]).max() < 0.15
    assert np.abs(means.mean(axis=0)).max() < 0.05
    within = np.stack([x[train.labels.numpy() == k].std(axis=0) for k in range(CLUSTERS)])
    np.testing.assert_allclose(within, 1, atol=0.08)
    lengths = np.linalg.norm(means[:, : COLUMNS // 2], axis=1)
    assert lengths.mean() == pytest.approx(DISTANCE * (COLUMNS / 2) ** 0.5, rel=0.1)


def test_no_plane_parts_the_two_classes(table: tuple[Dataset, Dataset]) -> None:
    train, test = table
    designs = [np.hstack([s.items.numpy().reshape(len(s), -1), np.ones((len(s), 1))]) for s in (train, test)]
    signs = [np.where(s.labels.numpy() < CLUSTERS // 2, 1.0, -1.0) for s in (train, test)]
    plane = np.linalg.lstsq(designs[0], signs[0], rcond=None)[0]
    assert (np.sign(designs[1] @ plane) == signs[1]).mean() < 0.8
    nearest = np.stack([designs[0][train.labels.numpy() == k].mean(axis=0) for k in range(CLUSTERS)])
    found = ((designs[1][:, None] - nearest) ** 2).sum(axis=2).argmin(axis=1)
    assert (np.where(found < CLUSTERS // 2, 1.0, -1.0) == signs[1]).mean() > 0.95


def test_an_epoch_counts_from_one_and_may_never_come() -> None:
    accuracy = np.array([[0.1, 0.5, 0.4, 0.9], [0.2, 0.3, 0.3, 0.3], [0.9, 0.1, 0.1, 0.1]])
    assert find_epochs(accuracy, np.array([0.45, 0.5, 0.9])) == [2, None, 1]
    assert format_epochs([2, None, 1]) == "2 (2 of 3)"
    assert format_epochs([None, None, 1]) == "never (1 of 3)"


def write_curves(root: Path, recipe: str, seed: int) -> None:
    """A run of four epochs on 100 items: own is right on twice as many of them as kd at first."""
    folder = find_folder(root, recipe, seed)
    folder.mkdir(parents=True)
    counts = dict.fromkeys(STUDENTS, (20, 40, 60, 80)) | {"own": (40, 80, 80, 80), "none": (10, 20, 30, 40)}
    right = {name: np.arange(100) < np.array(by_epoch)[:, None] for name, by_epoch in counts.items()}
    np.savez(folder / "curves.npz", **right)
    names = (*STUDENTS, *(f"teacher-{name}" for name in subclasses.NETWORKS))
    networks = {name: {"accuracy": 0.9, "clusters": 0.5 + 0.01 * seed} for name in names}
    (folder / "scores.json").write_text(json.dumps({"networks": networks, "seconds": 1.0}))


def test_a_student_is_as_fast_as_its_mean_over_the_epochs(tmp_path: Path) -> None:
    for seed in range(3):
        write_curves(tmp_path, "subclass", seed)
    rows = {row["student"]: row for row in build_speed("subclass", load_curves(tmp_path, "subclass"))}
    assert rows["own"]["over kd"]["mean"] == pytest.approx((20 + 40 + 20) / 400)
    assert rows["none"]["over kd"]["mean"] == pytest.approx(-0.25)
    assert rows["plain"]["over kd"]["mean"] == 0
    assert "over kd" not in rows["kd"]
    assert {name: row["epochs"] for name, row in rows.items() if name in ("own", "kd", "none")} == {
        "own": [2, 2, 2], "kd": [4, 4, 4], "none": [None] * 3,
    }  # fmt: skip
    text = format_speed(list(rows.values()))
    assert "| its own loss | 40.0 | 80.0 | - | - | - | - | 2 (3 of 3) | +20.00 (" in text
    assert "| plain distillation | 20.0 | 40.0 | - | - | - | - | 4 (3 of 3) | - | - |" in text


def test_what_is_found_is_a_mean_over_seeds(tmp_path: Path) -> None:
    for seed in range(3):
        write_curves(tmp_path, "subclass", seed)
    text = format_found(build_found(tmp_path, "subclass"))
    line = "| MNIST, ten digits | its own loss | 51.0 ± 1.0 | 51.0 ± 1.0 | 90.0 ± 0.0 | 90.0 ± 0.0 | 3 |"
    assert line in text


def test_ten_seeds_of_both_recipes_are_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.machine.RESULTS", tmp_path / "results")
    monkeypatch.setattr(subclasses, "ASSETS", tmp_path)
    for seed in range(10):
        write_curves(tmp_path, "subclass", seed)
    write_subclasses(tmp_path)
    assert not (tmp_path / "results").exists()
    for seed in range(10):
        write_curves(tmp_path, "subclass-table", seed)
    write_subclasses(tmp_path)
    content = json.loads((tmp_path / "results" / "kd-subclasses.json").read_text())
    assert [row["recipe"] for row in content["found"]] == ["subclass"] * 3 + ["subclass-table"] * 3
    assert len(content["speed"]) == 2 * len(STUDENTS)
    assert (tmp_path / "kd-subclasses.png").read_bytes().startswith(b"\x89PNG")
