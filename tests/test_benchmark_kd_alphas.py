"""The table and the picture of searched weights."""

import json
from pathlib import Path

import pytest

from benchmarks.kd.runs import Job, run_job
from benchmarks.kd.studies import alphas
from benchmarks.kd.studies.alphas import format_groups, load_groups, write_alphas
from tests.test_benchmark_kd_runs import write_search
from tests.test_benchmark_kd_tables import find_folder, write_run


def write_shares(root: Path, seed: int, first: float) -> None:
    write_run(root, seed, {"student": 3}, "dfa")
    groups = {"0.3 <- 0.3 0.4": [first, 1 - first], "0.4 <- 0.5 0.6": [0.5, 0.5]}
    (find_folder(root, "dfa", seed) / "alphas.json").write_text(json.dumps({"teacher": groups}))


def test_the_table_has_a_line_for_each_layer(tmp_path: Path) -> None:
    for seed, first in enumerate((0.2, 0.3, 0.7)):
        write_shares(tmp_path, seed, first)
    groups = load_groups(tmp_path)
    assert [group["tap"] for group in groups] == ["0.3", "0.4"]
    text = format_groups(groups)
    assert "| 1, `0.3` | block 1, `0.3` | 0.400 | 0.200 … 0.700 | 0.500 | 1 of 3 |" in text
    assert "| 1, `0.3` | block 2, `0.4` | 0.600 | 0.300 … 0.800 | 0.500 | 2 of 3 |" in text


def test_a_search_that_was_run_is_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.kd.RECIPES", tmp_path)
    write_search(tmp_path)
    for seed in (0, 1):
        assert run_job(tmp_path, Job("some", seed)) is None
    (group,) = load_groups(tmp_path, "some")
    assert group["layers"] == ["0.3", "0.4"]
    assert [sum(shares) for shares in group["shares"]] == [pytest.approx(1)] * 2
    assert group["shares"][0] != group["shares"][1]


def test_ten_seeds_are_drawn_and_fewer_are_only_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("benchmarks.machine.RESULTS", tmp_path / "results")
    monkeypatch.setattr(alphas, "ASSETS", tmp_path)
    for seed in range(9):
        write_shares(tmp_path, seed, 0.1 * seed)
    write_alphas(tmp_path)
    assert "kd-alphas: 9 of 10 seeds: not written yet" in capsys.readouterr().out
    assert not (tmp_path / "results").exists()
    write_shares(tmp_path, 9, 0.9)
    write_alphas(tmp_path)
    assert (tmp_path / "kd-alphas.png").read_bytes().startswith(b"\x89PNG")
    content = json.loads((tmp_path / "results" / "kd-alphas.json").read_text())
    assert len(content["groups"][0]["shares"]) == 10
    assert "](assets/kd-alphas.png)" in (tmp_path / "results" / "kd-alphas.md").read_text()


def test_without_a_run_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.machine.RESULTS", tmp_path / "results")
    write_alphas(tmp_path)
    assert not (tmp_path / "results").exists()
