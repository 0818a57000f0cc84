"""Several processes as torchrun starts them: one mean, one writer, and a sentence at a lost process."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from distill.inner.engines.unroll import Unroll
from distill.inner.rules import SGD
from distill.methods.unroll import bilevel
from distill.runs.files.log import read_log
from distill.sets.distilled import DistilledSet
from tests.helpers import read_json_line, run_module, small_problem, write_npz
from tests.inner.test_vmapped import make_task
from tests.outer.test_loop import make_synthetic

TORCHRUN = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "--")


def test_two_processes_give_the_mean_gradient_of_one_with_two_networks(tmp_path: Path) -> None:
    result = run_module(*TORCHRUN, "tests.mean_gradient", tmp_path / "gradient.pt")
    assert result.returncode == 0, result.stderr
    averaged, problem = torch.load(tmp_path / "gradient.pt"), small_problem(SGD(0.9))
    expected = bilevel(
        problem, Unroll(), lambda _: [make_task(problem, (1, 8, 8), 6), make_task(problem, (1, 8, 8), 7)]
    )(make_synthetic(), 3)
    torch.testing.assert_close(averaged["loss"], expected.loss)
    assert averaged["uniform_loss"] == pytest.approx(expected.uniform_loss)
    assert averaged["shared"] == 10.0
    for name, gradient in expected.gradients.items():
        torch.testing.assert_close(averaged[name], gradient)


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
