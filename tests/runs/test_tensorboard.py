"""--tensorboard: the log's figures and the learned items as events; a resumed run doubles none."""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from distill.commands.image import main as distil
from distill.commands.text import main as distil_text
from tests.helpers import write_npz, write_texts

SMALL = ["--network", "mlp", "--width", "8", "--inner-steps", "3", "--outer-batch", "32", "--n", "2"]


def events(folder: Path):
    """All that TensorBoard shows of a run folder."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    found.Reload()
    return found


def words(place: Path, out: Path, *extra: object) -> list[str]:
    data = place / "blobs.npz"
    if not data.exists():
        write_npz(data)
    line = [
        "--dataset",
        data,
        *SMALL,
        "--check-every",
        10,
        "--outer-steps",
        30,
        "--tensorboard",
        "--out",
        out,
    ]
    return [str(word) for word in [*line, *extra]]


@pytest.fixture(autouse=True, scope="module")
def _no_ceiling() -> Iterator[None]:
    """Networks on all the data are not what is looked at here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("distill.runs.measure.full_data_accuracy", lambda *_: 0.5)
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("board")
    assert distil(words(place, place / "run")) == 0
    return place / "run"


def log(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_events_are_the_log_and_the_items(run: Path) -> None:
    shown, records = events(run), log(run)
    losses = [(e.step, e.value) for e in shown.Scalars("outer loss")]
    assert losses == [(r["step"], np.float32(r["loss"])) for r in records if r["loss"] is not None]
    assert len(losses) == 30
    checks = [(e.step, e.value) for e in shown.Scalars("held-out accuracy")]
    assert checks == [(r["step"], np.float32(r["validation"])) for r in records if "validation" in r]
    assert [e.step for e in shown.Images("items")] == [10, 20, 30]
    assert (shown.Images("items")[0].width, shown.Images("items")[0].height) == (16, 8)  # two of 8×8


def test_a_resumed_run_doubles_no_step(run: Path, tmp_path: Path) -> None:
    """As after kill -9 behind the check at step 20: events and log know more than the checkpoint."""
    out = tmp_path / "run"
    shutil.copytree(run, out)
    saved = torch.load(out / "checkpoint.pt", weights_only=True)
    saved["state"]["step"] = 20
    torch.save(saved, out / "checkpoint.pt")
    assert distil(["--resume", str(out), "--tensorboard"]) == 0
    shown = events(out)
    assert [e.step for e in shown.Scalars("outer loss")] == list(range(1, 31))
    assert [r["step"] for r in log(out)] == list(range(1, 31))
    assert [e.step for e in shown.Scalars("held-out accuracy")] == [10, 20, 30]
    assert [e.step for e in shown.Images("items")] == [10, 20, 30]


def test_sentences_are_shown_as_words(tmp_path: Path) -> None:
    out = tmp_path / "run"
    line = [*write_texts(tmp_path), "--network", "average", "--inner-steps", "3", "--lengths", "3"]
    assert distil_text([*line, "--outer-steps", "4", "--out", str(out), "--tensorboard"]) == 0
    (shown,) = events(out).Tensors("items/text_summary")
    assert shown.step == 4
    assert b"  1. " in shown.tensor_proto.string_val[0]


def test_without_the_package_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    assert distil(words(tmp_path, tmp_path / "run")) == 2
    said = capsys.readouterr().err
    assert said == "distill: this needs the package tensorboard: pip install 'distill[tensorboard]'\n"
    assert os.listdir(tmp_path) == ["blobs.npz"]


def test_a_run_without_the_option_writes_no_events_and_is_the_same_run(run: Path, tmp_path: Path) -> None:
    plain = [word for word in words(tmp_path, tmp_path / "run") if word != "--tensorboard"]
    assert distil(plain) == 0
    assert not list((tmp_path / "run").glob("events*"))
    assert [r["loss"] for r in log(tmp_path / "run")] == [r["loss"] for r in log(run)]
    both = [json.loads((f / "config.json").read_text()) for f in (run, tmp_path / "run")]
    assert both[0] | {"dataset": ""} == both[1] | {"dataset": ""}
