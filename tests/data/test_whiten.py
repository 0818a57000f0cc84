"""ZCA whitening: what it does to pixels, and that a student is measured on whitened images too."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from distill.commands.image import main as distil
from distill.commands.student import main as measure_student
from distill.data.dataset import Dataset
from distill.data.whiten import RIDGE, fit_zca, renormalise, to_pixels, whiten
from distill.sets.distilled import DistilledSet
from tests.helpers import blobs, read_json_line, write_npz


def make_colours(n: int = 3000) -> Dataset:
    """Images whose pixels and channels go together."""
    generator = torch.Generator().manual_seed(0)
    base = torch.rand(n, 1, 2, 2, generator=generator)
    items = (0.8 * base + 0.2 * torch.rand(n, 3, 2, 2, generator=generator)).mul(255).round().byte()
    return Dataset("c", items, torch.arange(n) % 2, ("a", "b"), (0.5,) * 3, (0.2,) * 3)


def write_colours(path: Path) -> None:
    """Blobs of tests.helpers in three equal channels with some noise of their own."""
    arrays: dict[str, np.ndarray] = {}
    for split, count, seed in (("train", 600, 0), ("test", 200, 1)):
        x, arrays[f"y_{split}"] = blobs(count, seed)
        noise = np.random.default_rng(seed).integers(0, 20, (*x.shape, 3))
        arrays[f"x_{split}"] = (0.9 * x[..., None] + noise).clip(0, 255).astype(np.uint8)
    np.savez(path, **arrays)


@pytest.mark.parametrize("old_zca", [False, True])
@pytest.mark.parametrize("new_zca", [False, True])
def test_learned_images_get_the_units_of_other_data(old_zca: bool, new_zca: bool) -> None:
    data = make_colours(400)
    old = replace(data, mean=(0.1,) * 3, std=(0.9,) * 3)
    old, new = (
        whiten(d, fit_zca(d, ridge)) if z else d
        for d, z, ridge in ((old, old_zca, 0.05), (data, new_zca, 0.01))
    )
    items, source = old.batch(slice(8))[0], {"mean": old.mean, "std": old.std, "zca": old.zca}
    torch.testing.assert_close(renormalise(items, source, new), new.batch(slice(8))[0], rtol=1e-3, atol=1e-3)
    assert renormalise(items, source, old) is items


def test_floats_of_ones_own_keep_their_units() -> None:
    """On either side: nobody knows the pixels behind them."""
    data = make_colours(40)
    own = replace(data, items=data.batch(slice(None))[0], mean=(0.0,), std=(1.0,))
    items = own.batch(slice(8))[0]
    for source, new in (
        ({"mean": data.mean, "std": data.std}, own),
        ({"mean": (0.0,), "std": (1.0,)}, data),
        ({}, data),
    ):
        assert renormalise(items, source, new) is items


def test_whitened_pixels_have_no_correlations_and_a_variance_below_one() -> None:
    data = make_colours()
    zca = fit_zca(data)
    raw = data.items.double().div(255).flatten(1)
    spread = torch.linalg.eigvalsh(raw.T.cov())
    expected = spread / (spread + RIDGE * spread.mean())
    covariance = whiten(data, zca).batch(slice(None))[0].flatten(1).T.double().cov()
    torch.testing.assert_close(torch.linalg.eigvalsh(covariance), expected, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(zca["matrix"], zca["matrix"].T, rtol=1e-4, atol=1e-4)


def test_to_pixels_undoes_the_whitening() -> None:
    data = make_colours()
    white = whiten(data, fit_zca(data))
    source = {"mean": white.mean, "std": white.std, "zca": white.zca}
    torch.testing.assert_close(
        to_pixels(white.batch(slice(9))[0], source), data.items[:9] / 255, rtol=0, atol=1e-4
    )
    source = {"mean": data.mean, "std": data.std}
    torch.testing.assert_close(to_pixels(data.batch(slice(9))[0], source), data.items[:9] / 255)


def test_a_student_in_a_new_process_whitens_as_the_file_says(tmp_path: Path, capsys) -> None:
    write_colours(tmp_path / "blobs.npz")
    options = "--zca --network mlp --width 16 --n 4 --inner-steps 5 --lr 0.1 --outer-batch 64 --warmup 5"
    out = tmp_path / "run"
    assert (
        distil(
            [
                "--dataset",
                str(tmp_path / "blobs.npz"),
                *options.split(),
                "--outer-steps",
                "80",
                "--out",
                str(out),
            ]
        )
        == 0
    )
    data = DistilledSet.load(out / "set.pt")
    d = data.items[0].numel()
    assert data.source["zca"]["matrix"].shape == (d, d)
    assert measure_student([str(out / "set.pt"), "--json", "--dataset", str(tmp_path / "blobs.npz")]) == 0
    result = read_json_line(capsys.readouterr().out)
    assert result["accuracy"]["mean"] == data.scores["accuracy"]["mean"] > 0.6
    arguments = ["--dataset", str(tmp_path / "blobs.npz"), *options.replace("--zca ", "").split()]
    assert distil([*arguments, "--start", str(out / "set.pt"), "--out", str(tmp_path / "again")]) == 2
    assert "holds whitened items" in capsys.readouterr().err


def test_grey_images_are_not_whitened(tmp_path: Path, capsys) -> None:
    write_npz(tmp_path / "grey.npz", train=60, test=20)
    command = ["--dataset", str(tmp_path / "grey.npz"), "--zca", "--n", "4", "--out", str(tmp_path / "run")]
    assert distil(command) == 2
    assert "--zca whitens colours, and these images are grey" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
