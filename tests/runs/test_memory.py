"""A device that runs out of memory, and fewer items than processes: one sentence that says what to change."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from distill import RunError, distill
from distill.commands.image import main as image
from distill.kd import relabel
from distill.student.evaluation import as_student, ask
from tests.helpers import blobs, write_npz

SHORT = ["--n", "3", "--network", "mlp", "--init", "random", "--outer-batch", "16", "--inner-steps", "4"]
CUDA = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 8.00 GiB"
CPU = "alloc_cpu.cpp:124. DefaultCPUAllocator: can't allocate memory: you tried to allocate 400 bytes."


def fail_with(error: Exception) -> Callable[..., Any]:
    """In the place of build_objective(): an objective that raises the error."""

    def objective(*_: Any) -> None:
        raise error

    return lambda *_: objective


@pytest.mark.parametrize(
    ("error", "options", "sentence"),
    [
        (
            torch.OutOfMemoryError(CUDA),
            ["--method", "unroll", "--start", "noise"],
            r"out of memory \([\d,]+ MiB were held on cpu at most and asked for 2.00 GiB more\): lower"
            r" --outer-batch \(16\) or --inner-steps \(4\), or give --engine recompute",
        ),
        (
            RuntimeError(CPU),
            ["--method", "dc", "--networks-per-step", "2"],
            r"asked for 400 bytes more\): lower --outer-batch \(16\) or --networks-per-step \(2\)$",
        ),
        (
            MemoryError(),
            ["--method", "mtt", "--expert-count", "1", "--expert-epochs", "2"],
            r"MiB were held on cpu at most\): lower --outer-batch \(16\), or give --constant-memory$",
        ),
    ],
    ids=["cuda", "cpu", "numpy"],
)
def test_a_run_without_memory_says_what_it_held_and_what_to_lower(
    error: Exception,
    options: list[str],
    sentence: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys,
) -> None:
    monkeypatch.setattr("distill.runs.descent.build_objective", fail_with(error))
    path, out = write_npz(tmp_path / "blobs.npz"), tmp_path / "run"
    assert image(["--dataset", str(path), *SHORT, *options, "--out", str(out)]) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if line.startswith("distill: ")]
    assert re.search(sentence, line)


def test_in_python_the_arguments_have_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distill.runs.descent.build_objective", fail_with(MemoryError()))
    with pytest.raises(RunError, match=r"lower outer_batch \(32\) or inner_steps"):
        distill(blobs(60), "mlp", n=3, method="unroll", outer_batch=32, progress=False)


def test_other_errors_keep_their_traceback(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("distill.runs.descent.build_objective", fail_with(RuntimeError("shapes differ")))
    path = write_npz(tmp_path / "blobs.npz")
    with pytest.raises(RuntimeError, match="shapes differ"):
        image(["--dataset", str(path), *SHORT, "--method", "dc", "--out", str(tmp_path / "run")])


def test_fewer_items_than_processes_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_npz(tmp_path / "few.npz", train=30)
    monkeypatch.setattr("distill.outer.processes.world_size", lambda: 64)
    monkeypatch.setattr("distill.outer.processes.process_group", lambda device: torch.no_grad())
    monkeypatch.setattr("distill.outer.processes.broadcast", lambda value: value)
    assert image(["--dataset", str(path), *SHORT, "--out", str(tmp_path / "run")]) == 2
    sentence = "27 images for training and 64 processes, each of which draws its own: start at most 27"
    assert sentence in capsys.readouterr().err


class Hungry(torch.nn.Module):
    """A network that finds no memory."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        raise torch.OutOfMemoryError(CUDA)


def test_a_network_is_not_blamed_for_memory() -> None:
    data = distill(blobs(60), "mlp", n=3, outer_steps=2, progress=False)
    hungry = as_student(Hungry(), data.items)
    with pytest.raises(torch.OutOfMemoryError):
        ask(hungry, data.items)
    with pytest.raises(torch.OutOfMemoryError):
        relabel(data, hungry)
