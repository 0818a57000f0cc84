"""Networks that are trained before a set is learned for them: on which data, and for how long."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

import distill.applications.adapt as adapting
from distill.applications.adapt import match_sizes
from distill.applications.pretrained import BATCH, train_student
from distill.applications.settings import AdaptSettings
from distill.data.images import load
from distill.data.whiten import whiten
from distill.networks.build import build_network
from distill.networks.initial import draw_weights
from distill.randomness import stream
from distill.runs.measure import load_data
from distill.runs.resolve import resolve
from distill.student.training import Student
from tests.helpers import change_settings, write_npz


def write_colours(folder: Path, name: str, side: int) -> str:
    """An .npz of 60 training and 30 test images of noise, in colours and three classes; its path."""
    pixels = torch.randint(256, (90, side, side, 3), dtype=torch.uint8, generator=stream(name)).numpy()
    labels = np.arange(60) % 3
    path = folder / f"{name}.npz"
    np.savez(path, x_train=pixels[:60], y_train=labels, x_test=pixels[60:], y_test=labels[:30])
    return str(path)


@pytest.mark.parametrize("size", [6, 8])
def test_the_source_is_whitened_by_the_matrix_of_the_target(size: int, tmp_path: Path) -> None:
    paths = {"source": write_colours(tmp_path, "source", size), "dataset": write_colours(tmp_path, "to", 6)}
    settings, source = match_sizes(resolve(change_settings(AdaptSettings(), **paths, zca=True)))
    target, _ = load_data(settings)
    assert source.shape == target.shape == (3, size, size)
    assert torch.equal(source.zca["matrix"], target.zca["matrix"])
    assert torch.equal(source.items, whiten(load(paths["source"])[0], target.zca).items)


@pytest.mark.parametrize(("is_folder", "place"), [(True, ("auto", "cache", True)), (False, ("auto",))])
def test_a_source_that_is_a_folder_is_loaded_by_the_options_of_folders(
    is_folder: bool, place: tuple, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = list[tuple]()
    monkeypatch.setattr(adapting, "find_listing", lambda _: {} if is_folder else None)
    monkeypatch.setattr(adapting, "load", lambda *arguments: calls.append(arguments) or "ab")
    options = {"source": "photos", "keep": "memory", "cache": "cache", "skip_damaged": True}
    assert adapting.load_source(change_settings(AdaptSettings(), **options)) == "a"
    assert calls == [("photos", None, "cpu", None, *place)]


@pytest.mark.parametrize("steps", [1, 4, 7])
def test_a_network_is_trained_first_for_as_many_batches_as_asked(steps: int, tmp_path: Path) -> None:
    path = write_npz(tmp_path / "blobs.npz", train=600, test=60, size=12)
    data, network = load(str(path))[0], build_network("mlp", (1, 12, 12), 3, width=4)
    weights = draw_weights(network, stream("first"), "xavier")
    trained = train_student(data, network, weights, steps, stream("order"))
    plain, order = Student(network, weights), stream("order")
    optimiser = torch.optim.Adam(plain.parameters(), lr=0.002)
    indices = [torch.randperm(600, generator=order).split(BATCH) for _ in range(2)]
    for i, picks in enumerate([*indices[0], *indices[1]][:steps]):
        optimiser.param_groups[0]["lr"] = 0.002 * (1 - i / steps)
        x, y = data.batch(picks)
        optimiser.zero_grad()
        cross_entropy(plain(x), y).backward()
        optimiser.step()
    for ours, theirs in zip(trained.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)
