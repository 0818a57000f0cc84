"""Several processes as torchrun starts them: one mean, one writer, and a sentence at a lost process."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from distill.errors import RunError, UserError
from distill.methods.pool import Peers
from distill.outer.processes import exchange_states, process_group
from distill.runs.build import build_objective
from distill.runs.descent import Schedule, run_outer_loop, start_snapshot
from distill.runs.files.log import read_log
from distill.sets.distilled import DistilledSet
from tests.device_cases import make_case
from tests.helpers import read_json_line, run_module, write_npz
from tests.mean_gradient import ALL, STATES, list_steps

TORCHRUN = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "--")


@pytest.fixture(scope="module")
def averaged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Any]]:
    """A file of data, and what each of two processes computed of the outer steps of every method."""
    folder = tmp_path_factory.mktemp("averaged")
    path = write_npz(folder / "blobs.npz")
    result = run_module(*TORCHRUN, "tests.mean_gradient", path, folder)
    assert result.returncode == 0, result.stderr
    return path, [torch.load(folder / f"{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("word", ALL)
def test_two_processes_give_the_mean_gradient_of_one_with_two_networks(
    word: str, averaged: tuple[Path, list[Any]]
) -> None:
    path, (first, second) = averaged
    assert first["shared"] == second["shared"] == 10.0
    expected = list(list_steps(word, str(path), 2))
    for step, one, other in zip(expected, first["steps"][word], second["steps"][word], strict=True):
        assert one.keys() == other.keys() == step.keys()
        assert step["items"].any()
        for name, value in step.items():
            torch.testing.assert_close(one[name], value, rtol=1e-3, atol=1e-6)
            assert torch.equal(one[name], other[name]), name


def test_each_process_gets_the_states_of_all(averaged: tuple[Path, list[Any]]) -> None:
    for facts in averaged[1]:
        torch.testing.assert_close(facts["exchanged"], [list(states) for states in STATES], rtol=0, atol=0)
        torch.testing.assert_close(facts["of_first"], [list(STATES[0]), []], rtol=0, atol=0)


def test_more_processes_than_gpus_are_refused_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    sentence = "process 2 on this machine has no GPU .*, of 1: .*per-node 1, or"
    with pytest.raises(RunError, match=sentence), process_group("cuda"):
        pass


def test_where_nothing_is_sent_nobody_waits() -> None:
    assert exchange_states([], [[], []]) == [[], []]


def test_the_clock_of_the_first_process_is_asked_once_in_a_step_and_only_for_a_limit(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[float] = []
    monkeypatch.setattr("distill.outer.processes.broadcast", lambda value: asked.append(value) or value)
    plan, synthetic, splits = make_case("unroll", str(write_npz(tmp_path / "blobs.npz")), "cpu")

    def count(seconds: float | None) -> tuple[int, int]:
        asked.clear()
        schedule = Schedule(4, 100, seconds)
        snapshot = start_snapshot(plan, synthetic)
        return sum(1 for _ in run_outer_loop(plan, synthetic, splits, snapshot, schedule)), len(asked)

    assert count(None) == (4, 0)
    assert count(1e6) == (4, 5)


def test_a_pool_of_fewer_networks_than_processes_is_refused(tmp_path: Path) -> None:
    path = str(write_npz(tmp_path / "blobs.npz"))
    plan, synthetic, splits = make_case("dm", path, "cpu", method_options={"pool_size": 3})
    plan = replace(plan, method=replace(plan.method, peers=Peers(0, 4)))
    with pytest.raises(UserError, match="--pool-size 3 is fewer than the 4 networks that 4 processes visit"):
        build_objective(plan, splits.train)(synthetic, 0, plan.method.start_memory())


def list_arguments(folder: Path, out: Path) -> list[object]:
    """The arguments of a small run."""
    arguments = [
        "--dataset",
        write_npz(folder / "blobs.npz"),
        "--network",
        "mlp",
        "--n",
        3,
        "--init",
        "random",
    ]
    return [
        *arguments,
        "--inner-steps",
        2,
        "--outer-batch",
        16,
        "--validate-every",
        2,
        "--test-networks",
        2,
        "--out",
        out,
    ]


def test_torchrun_makes_one_run_with_one_writer(tmp_path: Path) -> None:
    out = tmp_path / "run"
    result = run_module(
        *TORCHRUN, "distill.mnist", *list_arguments(tmp_path, out), "--outer-steps", 6, "--json"
    )
    assert result.returncode == 0, result.stderr
    assert read_json_line(result.stdout)["outer_steps"] == 6
    assert [record["step"] for record in read_log(out)] == [1, 2, 3, 4, 5, 6]
    assert len(DistilledSet.load(out / "set.pt")) == 3


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="finds the process in /proc")
def test_a_killed_process_ends_the_run_and_one_process_resumes_it(tmp_path: Path) -> None:
    out, arguments = tmp_path / "run", [str(w) for w in list_arguments(tmp_path, tmp_path / "run")]
    arguments += ["--outer-steps", "400"]
    torchrun = subprocess.Popen(
        [sys.executable, "-m", *TORCHRUN, "distill.mnist", *arguments],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    while not (out / "checkpoint.pt").exists():
        assert torchrun.poll() is None
        time.sleep(0.05)
    os.kill(find_child(torchrun.pid, "RANK=1"), signal.SIGKILL)
    _, errors = torchrun.communicate(timeout=60)
    assert torchrun.returncode != 0
    assert "Signal 9 (SIGKILL)" in errors
    before = len(read_log(out))
    assert before < 400
    resumed = run_module("distill.mnist", "--resume", out, "--json")
    assert resumed.returncode == 0, resumed.stderr
    assert read_json_line(resumed.stdout)["outer_steps"] == 400


def find_child(parent: int, variable: str) -> int:
    """The child of parent that has this in its environment."""
    children = Path(f"/proc/{parent}/task/{parent}/children").read_text().split()
    (child,) = [
        c for c in children if variable.encode() in Path(f"/proc/{c}/environ").read_bytes().split(b"\0")
    ]
    return int(child)
