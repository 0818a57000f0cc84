"""--dry-run: what a run will take, by a few of its steps."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from distill.commands.image import main as image
from tests.helpers import write_npz

SHORT = [
    "--n", "3", "--network", "mlp", "--width", "8", "--init", "random", "--inner-steps", "4",
    "--outer-steps", "90",
    "--validate-every", "20", "--outer-batch", "16", "--test-networks", "2", "--full-data-networks", "0",
    "--dc-networks", "0", "--baseline-networks", "0", "--validation-networks", "1",
]  # fmt: skip


def run(folder: Path, *options: str) -> int:
    write_npz(folder / "blobs.npz")
    return image(["--dataset", str(folder / "blobs.npz"), *SHORT, "--out", str(folder / "run"), *options])


@pytest.mark.parametrize("method", ["unroll", "frepo", "dc", "rat-bptt"])
def test_it_says_what_a_run_takes_and_writes_nothing(
    method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distill.runs.estimates.dry_run.LEAST_SECONDS", 0.1)
    assert run(tmp_path, "--method", method, "--dry-run", "--json") == 0
    lines = capsys.readouterr().out.splitlines()
    result = json.loads(lines[-1])
    assert lines[0].startswith(f"an outer step by {method} takes")
    assert "90 steps" in lines[0]
    assert result["outer_steps"] == 90
    assert result["seconds"] >= 90 * result["seconds_per_step"] > 0
    parts = ("seconds", "measuring_seconds", "around_seconds")
    assert result["total_seconds"] == pytest.approx(sum(result[part] for part in parts))
    assert lines[2].startswith("starting, reading the data and writing the files takes about")
    assert not (tmp_path / "run").exists()


def test_minutes_say_how_many_steps_there_are(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distill.runs.estimates.dry_run.LEAST_SECONDS", 0.1)
    options = ("--method", "dm", "--dry-run", "--json", "--outer-steps", "1000000", "--distil-minutes", "0.5")
    assert run(tmp_path, *options) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert 0 < result["outer_steps"] < 1_000_000
    assert 20 < result["seconds"] < 60


def test_experts_must_be_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path, "--method", "mtt", "--dry-run") == 2
    assert "--dry-run cannot look at outer steps without their experts" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_several_processes_are_refused_before_they_connect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("distill.outer.processes.process_group", lambda _: pytest.fail("connected"))
    assert run(tmp_path, "--dry-run") == 2
    assert capsys.readouterr().err.startswith("distill: --dry-run measures one process: start it without")
    assert not (tmp_path / "run").exists()


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distill.runs.estimates.dry_run.LEAST_SECONDS", 0.1)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    assert run(tmp_path, "--dry-run") == 0
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["notes.txt"]


def test_the_start_is_that_of_the_process() -> None:
    code = """
import time
from distill.runs.files.machine import process_seconds
first = process_seconds()
time.sleep(0.3)
print(first, process_seconds() - first)
"""
    begin = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, later = map(float, done.stdout.split())
    assert 0 < first < time.monotonic() - begin
    assert later == pytest.approx(0.3, abs=0.2)
