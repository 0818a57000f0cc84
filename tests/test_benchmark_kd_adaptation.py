"""What each way to adapt and to distil costs: its stages, and its parameters."""

import json
from pathlib import Path

import pytest

from benchmarks.kd import load_recipe
from benchmarks.kd.studies.adaptation import SYSTEMS, build_costs, format_costs, sum_seconds, write_adaptation

EPOCHS = (10, 10, 10, 10, 10, 5, 5, 10)


def write_uda(root: Path, recipe: str, seed: int) -> None:
    """A run in which an epoch of stage k takes k + 1 tenths of a second, and the target is right by 0.8."""
    folder, networks = root / f"{recipe}-s{seed}", load_recipe(recipe).networks
    folder.mkdir(parents=True)
    records = [
        {"stage": k, "network": name, "epoch": epoch + 1, "seconds": 0.1 * (k + 1)}
        for k, epochs in enumerate(EPOCHS)
        for epoch in range(epochs)
        for name in load_recipe(recipe).stages[k].turns
    ]
    (folder / "log.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    scores = {
        "networks": {name: {"target": 0.8} for name in networks},
        "parameters": {name: 1000 * part.width for name, part in networks.items()},
        "seconds": 1.0,
    }
    (folder / "scores.json").write_text(json.dumps(scores))


def test_a_system_costs_the_stages_of_itself_and_of_its_teachers(tmp_path: Path) -> None:
    write_uda(tmp_path, "uda", 0)
    rows = {row["network"]: row for row in build_costs(tmp_path)}
    assert list(rows) == list(SYSTEMS)
    assert {name: list(row["stages"]) for name, row in rows.items()} == {
        "plain": [0], "alone": [1], "adapt-distil": [2, 3], "distil-adapt": [4, 5, 6], "student": [7],
    }  # fmt: skip
    seconds = {name: row["seconds"][0] for name, row in rows.items()}
    assert seconds == pytest.approx(
        {"plain": 1.0, "alone": 2.0, "adapt-distil": 7.0, "distil-adapt": 11.5, "student": 8.0}
    )
    assert rows["adapt-distil"]["teachers"] == {"adapted": 32000}
    assert rows["student"]["teachers"] == {"teacher": 32000}
    assert rows["plain"]["teachers"] == {}


def test_networks_of_a_stage_share_its_seconds(tmp_path: Path) -> None:
    write_uda(tmp_path, "uda", 0)
    assert sum_seconds(tmp_path / "uda-s0" / "log.jsonl")[7] == pytest.approx(8.0)


def test_both_directions_stand_in_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.machine.RESULTS", tmp_path / "results")
    for seed in range(10):
        write_uda(tmp_path, "uda", seed)
    write_adaptation(tmp_path)
    assert not (tmp_path / "results").exists()
    for seed in range(10):
        write_uda(tmp_path, "uda-back", seed)
    write_adaptation(tmp_path)
    text = (tmp_path / "results" / "kd-adaptation.md").read_text()
    assert (
        "| MNIST → USPS | adapt, then distil, `adapt-distil` | 80.0 | 8,000 | 32,000 | 3.0 + 4.0 | 7.0 |"
        in text
    )
    assert "| USPS → MNIST | the source alone, `plain` | 80.0 | 8,000 | - | 1.0 | 1.0 |" in text
    assert text.strip() == format_costs(build_costs(tmp_path)).strip()


def test_runs_without_a_log_are_passed_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_uda(tmp_path, "uda", 0)
    (tmp_path / "uda-s0" / "log.jsonl").unlink()
    assert build_costs(tmp_path) == []
    assert "uda-s0 has no log.jsonl, and is passed over" in capsys.readouterr().out
