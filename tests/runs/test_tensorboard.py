"""--tensorboard: the log and the learned items as events; a resumed run writes no step twice."""

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
from distill.data.dataset import Dataset
from distill.outer.synthetic import Synthetic
from distill.runs.files.tensorboard import EventWriter
from tests.helpers import waves, write_npz, write_texts

SMALL = ["--network", "mlp", "--width", "8", "--inner-steps", "3", "--outer-batch", "32", "--n", "2"]


def read_events(folder: Path):
    """All that TensorBoard shows of a run folder."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    events.Reload()
    return events


def list_arguments(folder: Path, out: Path, *extra: object) -> list[str]:
    data = folder / "blobs.npz"
    if not data.exists():
        write_npz(data)
    line = [
        "--dataset",
        data,
        *SMALL,
        "--validate-every",
        10,
        "--outer-steps",
        30,
        "--tensorboard",
        "--out",
        out,
    ]
    return [str(word) for word in [*line, *extra]]


@pytest.fixture(autouse=True, scope="module")
def _no_training_on_all_data() -> Iterator[None]:
    """Networks on all the data take time and are not tested here."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("distill.runs.measure.full_data_accuracy", lambda *_: 0.5)
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("events")
    assert distil(list_arguments(folder, folder / "run")) == 0
    return folder / "run"


def read_log(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def test_events_are_the_log_and_the_items(run: Path) -> None:
    events, records = read_events(run), read_log(run)
    losses = [(e.step, e.value) for e in events.Scalars("outer loss")]
    assert losses == [(r["step"], np.float32(r["loss"])) for r in records if r["loss"] is not None]
    assert len(losses) == 30
    checks = [(e.step, e.value) for e in events.Scalars("held-out accuracy")]
    assert checks == [(r["step"], np.float32(r["validation"])) for r in records if "validation" in r]
    assert [e.step for e in events.Images("items")] == [10, 20, 30]
    assert (events.Images("items")[0].width, events.Images("items")[0].height) == (16, 8)  # two of 8×8


def test_images_of_two_channels_stand_side_by_side(tmp_path: Path) -> None:
    items, numbers = waves(4, 2, 8, 6).float(), torch.arange(4) % 2
    real = Dataset("x", items, numbers, ("a", "b"), (0.0, 0.5), (1.0, 2.0))
    schedule, labels = torch.zeros(3, 4, dtype=torch.long), torch.eye(2)[numbers]
    learned = Synthetic(items, labels, torch.full((3,), 0.1), schedule, "soft")
    writer = EventWriter(tmp_path, 0)
    writer.add_record({"step": 1, "loss": 2.0, "validation": 0.5}, learned, real)
    writer.close()
    (image,) = read_events(tmp_path).Images("items")
    assert (image.width, image.height) == (48, 8)  # four of 8×12


def test_a_resumed_run_writes_no_step_twice(run: Path, tmp_path: Path) -> None:
    """As after a kill behind step 20: events and log hold later steps than the checkpoint."""
    out = tmp_path / "run"
    shutil.copytree(run, out)
    saved = torch.load(out / "checkpoint.pt", weights_only=True)
    saved["state"]["step"] = 20
    torch.save(saved, out / "checkpoint.pt")
    assert distil(["--resume", str(out), "--tensorboard"]) == 0
    events = read_events(out)
    assert [e.step for e in events.Scalars("outer loss")] == list(range(1, 31))
    assert [r["step"] for r in read_log(out)] == list(range(1, 31))
    assert [e.step for e in events.Scalars("held-out accuracy")] == [10, 20, 30]
    assert [e.step for e in events.Images("items")] == [10, 20, 30]


def test_sentences_are_shown_as_words(tmp_path: Path) -> None:
    out = tmp_path / "run"
    line = [*write_texts(tmp_path), "--network", "average", "--inner-steps", "3", "--synthetic-length", "3"]
    assert distil_text([*line, "--outer-steps", "4", "--out", str(out), "--tensorboard"]) == 0
    (event,) = read_events(out).Tensors("items/text_summary")
    assert event.step == 4
    assert b"  1. " in event.tensor_proto.string_val[0]


def test_without_the_package_nothing_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    assert distil(list_arguments(tmp_path, tmp_path / "run")) == 2
    message = capsys.readouterr().err
    assert message == "distill: this needs the package tensorboard: pip install 'distill[tensorboard]'\n"
    assert os.listdir(tmp_path) == ["blobs.npz"]


def test_a_run_without_the_option_writes_no_events_and_is_the_same_run(run: Path, tmp_path: Path) -> None:
    arguments = [word for word in list_arguments(tmp_path, tmp_path / "run") if word != "--tensorboard"]
    assert distil(arguments) == 0
    assert not list((tmp_path / "run").glob("events*"))
    assert [r["loss"] for r in read_log(tmp_path / "run")] == [r["loss"] for r in read_log(run)]
    configs = [json.loads((f / "config.json").read_text()) for f in (run, tmp_path / "run")]
    assert configs[0] | {"dataset": ""} == configs[1] | {"dataset": ""}
