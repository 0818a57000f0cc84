"""A run that distils its own start by kernel ridge: it goes on bit by bit, and refuses what cannot."""

from pathlib import Path

import pytest
import torch

import distill
from distill.commands.image import main as distil
from distill.runs import first_set
from distill.runs.files.log import Log
from distill.runs.resolve import resolve
from distill.runs.settings import ImageSettings
from distill.sets.distilled import DistilledSet
from tests.helpers import blobs, change_settings, write_npz

SHORT = [
    "--network", "mlp", "--init", "random", "--n", "3", "--method", "rat-bptt", "--outer-steps", "6",
    "--validate-every", "2", "--outer-batch", "16",
    "--pool-steps", "2", "--pool-window", "2", "--pool-size", "2",
    "--inner-steps", "4", "--test-networks", "1", "--full-data-networks", "0", "--dc-networks", "0",
    "--validation-networks", "1",
]  # fmt: skip


def run(folder: Path, name: str, *options: str) -> int:
    write_npz(folder / "blobs.npz")
    return distil(["--dataset", str(folder / "blobs.npz"), *SHORT, "--out", str(folder / name), *options])


def stop_in(place: str, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C when a step of the run in a folder of this name is logged."""
    add, start = Log.add, Log.__init__

    def remember(log: Log, path: Path, *rest: int) -> None:
        start(log, path, *rest)
        log.place = path.name  # type: ignore[attr-defined]

    def stop(log: Log, record: dict) -> None:
        if record["step"] == step and log.place == place:  # type: ignore[attr-defined]
            raise KeyboardInterrupt
        add(log, record)

    monkeypatch.setattr(Log, "__init__", remember)
    monkeypatch.setattr(Log, "add", stop)


@pytest.mark.parametrize(("place", "step"), [("start", 1), ("start", 7), ("stopped", 1), ("stopped", 5)])
def test_a_stopped_run_goes_on_bit_by_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture, place: str, step: int
) -> None:
    assert run(tmp_path, "whole") == 0
    with monkeypatch.context() as patch:
        stop_in(place, step, patch)
        assert run(tmp_path, "stopped") == 2
    assert f"go on with --resume {tmp_path / 'stopped'}\n" in capsys.readouterr().err
    assert distil(["--resume", str(tmp_path / "stopped")]) == 0
    whole, stopped = (DistilledSet.load(tmp_path / name / "set.pt") for name in ("whole", "stopped"))
    for name in ("items", "labels", "lrs"):
        assert torch.equal(getattr(whole, name), getattr(stopped, name))


def test_a_run_stopped_in_its_start_goes_on_from_the_checkpoint_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings_of, add, steps = first_set.first_settings, Log.add, []
    monkeypatch.setattr(
        first_set, "first_settings", lambda s: change_settings(settings_of(s), validate_every=4)
    )
    with monkeypatch.context() as patch:
        stop_in("start", 7, patch)
        assert run(tmp_path, "stopped") == 2

    def remember(log: Log, record: dict) -> None:
        steps.append(record["step"])
        add(log, record)

    monkeypatch.setattr(Log, "add", remember)
    assert distil(["--resume", str(tmp_path / "stopped")]) == 0
    assert steps == [*range(5, 13), *range(1, 7)]


def test_the_run_goes_on_from_what_kernel_ridge_distilled(tmp_path: Path) -> None:
    assert run(tmp_path, "run") == 0
    first, last = (DistilledSet.load(tmp_path / "run" / name) for name in ("start/set.pt", "set.pt"))
    assert (first.inner["loss"], last.inner["loss"]) == ("squared-error", "soft-cross-entropy")
    assert first.provenance["outer_steps"] == 12
    assert last.provenance["seconds"] > first.provenance["seconds"] > 0
    gap = (last.items - first.items).abs().max()  # six outer steps of at most 0.005
    assert 0 < float(gap) < 0.1 < float((first.items - first.items.mean(dim=0)).abs().max())
    assert last.provenance["config"]["start"] == "frepo"


def test_overwrite_removes_the_start_too(tmp_path: Path) -> None:
    assert run(tmp_path, "run") == 0
    assert run(tmp_path, "run", "--start", "means", "--overwrite") == 0
    assert not (tmp_path / "run" / "start").exists()


REFUSALS = {
    "--start frepo is for other methods than --method frepo": ("--method", "frepo", "--start", "frepo"),
    "from which --labels hard with the inner loss soft-cross-entropy cannot go on": (
        "--labels", "hard", "--start", "frepo",
    ),
}  # fmt: skip


@pytest.mark.parametrize("sentence", REFUSALS)
def test_what_cannot_go_on_is_refused_before_anything_is_written(
    tmp_path: Path, capsys: pytest.CaptureFixture, sentence: str
) -> None:
    skipped = ("--pool-steps", "--pool-window", "--pool-size")
    options = SHORT if "labels" in sentence else drop_options(SHORT, skipped)
    write_npz(tmp_path / "blobs.npz")
    line = ["--dataset", str(tmp_path / "blobs.npz"), *options, "--out", str(tmp_path / "run")]
    assert distil([*line, *REFUSALS[sentence]]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def drop_options(line: list[str], names: tuple[str, ...]) -> list[str]:
    """A command line without these options and their values."""
    pairs = zip(line[::2], line[1::2], strict=True)
    return [word for name, value in pairs if name not in names for word in (name, value)]


def test_python_distils_the_start_too() -> None:
    x, y = blobs(200)
    result = distill.distill((x, y), "mlp", n=3, method="rat-bptt", inner_steps=3, outer_steps=2, held_out=10)
    assert result.provenance["config"]["start"] == "frepo"
    assert bool((result.labels >= 0).all())


@pytest.mark.parametrize(
    ("options", "method"),
    [
        ({"network": "convnet"}, "rat-bptt"),
        ({"network": "convnet", "minutes": 5.0}, "rat-bptt"),
        ({"network": "convnet", "minutes": 1.0}, "frepo"),
        ({"network": "convnet", "n": 100}, "frepo"),
        ({"network": "convnet", "outer_steps": 50}, "frepo"),
        ({"network": "convnet", "dataset": "fashion-mnist"}, "rat-bptt"),
        ({"network": "convnet", "dataset": "cifar-10"}, "frepo"),
        ({"network": "convnet", "dataset": "pictures.npz", "zca": True}, "frepo"),
        ({"network": "lenet"}, "frepo"),
        ({"network": "convnet", "labels": "soft"}, "frepo"),
    ],
)
def test_auto_takes_windows_where_they_have_the_time(options: dict, method: str) -> None:
    settings = resolve(change_settings(ImageSettings(), method="auto", init="random", **options))
    assert settings.outer.method == method
    assert settings.outer.start == ("frepo" if method == "rat-bptt" else "means")
