"""A stopped run goes on bit by bit: with random horizons, a relative clip, and an older checkpoint."""

import json
import signal
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest
import torch

from distill.commands.image import main as distil
from distill.methods import unroll
from distill.runs.files.log import Log, read_log
from distill.sets.distilled import DistilledSet
from distill.sets.storage import read_tensors, write_tensors
from tests.helpers import write_npz

LASTING = [
    "--labels", "softmax", "--min-horizon", "2", "--max-horizon", "9", "--relative-clip", "2",
    "--engine", "truncated", "--window", "3",
]  # fmt: skip
REGRESSION = ["--inner-loss", "squared-error", "--max-horizon", "6", "--lr", "0.01"]
DOUBLED = ["--labels", "soft", "--batch", "3", "--step-doublings", "2"]
PRECONDITIONED = [*DOUBLED, "--outer-rule", "ggt"]
BEFORE = ["--labels", "soft", "--method", "unroll"]


def run(folder: Path, name: str, options: list[str]) -> int:
    line = ["--dataset", str(folder / "blobs.npz"), "--n", "3", "--network", "mlp", "--init", "random"]
    line += ["--inner-steps", "4", "--outer-steps", "9", "--validate-every", "4", "--outer-batch", "16"]
    line += ["--test-networks", "2", "--full-data-networks", "1", "--dc-networks", "1"]
    line += ["--validation-networks", "1"]
    return distil([*line, "--out", str(folder / name), *options])


def stop_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C when a step is logged."""
    add = Log.add

    def stop(log: Log, record: dict) -> None:
        if record["step"] == step:
            raise KeyboardInterrupt
        add(log, record)

    monkeypatch.setattr(Log, "add", stop)


CASES = {"horizons": LASTING, "regression": REGRESSION, "doubled": DOUBLED, "preconditioned": PRECONDITIONED}
CASES |= {"before": BEFORE}


@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
def test_a_stopped_run_goes_on_bit_by_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str]
) -> None:
    monkeypatch.setattr(unroll, "DOUBLED_AT", (2, 7))
    write_npz(tmp_path / "blobs.npz")
    assert run(tmp_path, "whole", options) == 0
    with monkeypatch.context() as patch:
        stop_at(6, patch)
        assert run(tmp_path, "stopped", options) != 0
    if options is BEFORE:
        path = tmp_path / "stopped" / "checkpoint.pt"
        content = read_tensors(path, "cpu", "distill-checkpoint/1")
        del content["state"]["gradient_norms"], content["config"]["fixed_items"]
        del content["config"]["outer_rule"]
        write_tensors(path, content)
        config = json.loads((tmp_path / "stopped" / "config.json").read_text())
        del config["fixed_items"], config["outer_rule"]
        (tmp_path / "stopped" / "config.json").write_text(json.dumps(config))
    assert distil(["--resume", str(tmp_path / "stopped")]) == 0
    whole, stopped = (DistilledSet.load(tmp_path / name / "set.pt") for name in ("whole", "stopped"))
    for name in ("items", "labels", "lrs"):
        assert torch.equal(getattr(whole, name), getattr(stopped, name))
    assert len(whole.lrs) == 4
    assert whole.inner["loss"] == ("squared-error" if options is REGRESSION else "soft-cross-entropy")


def test_ctrl_c_keeps_the_last_step_and_the_run_goes_on_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_npz(tmp_path / "blobs.npz")
    assert run(tmp_path, "whole", LASTING) == 0
    add = Log.add

    def interrupt(log: Log, record: dict) -> None:
        if record["step"] == 6:
            signal.raise_signal(signal.SIGINT)  # as Ctrl-C, in the middle of a step
        add(log, record)

    with monkeypatch.context() as patch:
        patch.setattr(Log, "add", interrupt)
        assert run(tmp_path, "stopped", LASTING) != 0
    message = capsys.readouterr().err
    assert "stopping after this step; Ctrl-C again stops at once" in message
    assert "stopped at step 6; go on with --resume" in message
    content = read_tensors(tmp_path / "stopped" / "checkpoint.pt", "cpu", "distill-checkpoint/1")
    assert content["state"]["step"] == 6  # not 4, where it was validated
    assert distil(["--resume", str(tmp_path / "stopped")]) == 0
    assert [record["step"] for record in read_log(tmp_path / "stopped")] == list(range(1, 10))
    whole, stopped = (DistilledSet.load(tmp_path / name / "set.pt") for name in ("whole", "stopped"))
    assert torch.equal(whole.items, stopped.items)


def test_a_run_that_torchrun_starts_again_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_npz(tmp_path / "blobs.npz")
    assert run(tmp_path, "whole", LASTING) == 0
    with monkeypatch.context() as patch:
        stop_at(6, patch)
        assert run(tmp_path, "run", LASTING) != 0
    assert run(tmp_path, "run", LASTING) == 2  # not by itself
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert run(tmp_path, "run", [*LASTING, "--overwrite"]) == 0
    assert "started again by torchrun" in capsys.readouterr().err
    assert [record["step"] for record in read_log(tmp_path / "run")] == list(range(1, 10))
    whole, again = (DistilledSet.load(tmp_path / name / "set.pt") for name in ("whole", "run"))
    assert torch.equal(whole.items, again.items)
    assert run(tmp_path, "new", LASTING) == 0  # killed before it wrote anything


def test_a_run_that_torchrun_starts_again_with_other_settings_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_npz(tmp_path / "blobs.npz")
    with monkeypatch.context() as patch:
        stop_at(2, patch)
        assert run(tmp_path, "run", LASTING) != 0
    monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", "1")
    assert run(tmp_path, "run", [*LASTING, "--seed", "1"]) == 2
    assert "was started with --seed 0, not 1" in capsys.readouterr().err


@pytest.mark.parametrize("given", [[], ["--device", "cuda:77"]])
def test_a_run_goes_on_with_its_own_device(
    given: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    write_npz(tmp_path / "blobs.npz")
    with monkeypatch.context() as patch:
        stop_at(2, patch)
        assert run(tmp_path, "run", LASTING) != 0
    path, devices = tmp_path / "run" / "config.json", list[str]()
    path.write_text(json.dumps({**json.loads(path.read_text()), "device": "cuda:77"}))

    def record(device: str) -> AbstractContextManager:
        devices.append(device)
        return nullcontext()

    monkeypatch.setattr("distill.outer.processes.process_group", record)
    assert distil(["--resume", str(tmp_path / "run"), *given]) == 2
    sentence = 'no device "cuda:77" on this machine: go on with the run on one that has it'
    assert capsys.readouterr().err.splitlines()[-1] == f"distill: {sentence}"
    assert devices == ["cuda:77"]
