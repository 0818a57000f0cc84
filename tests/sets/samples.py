"""Sets, and files of other projects in their own layout, that the tests of formats read."""

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from distill.registry import load
from distill.sets.distilled import DistilledSet
from distill.sets.formats import FORMATS, WRITERS
from distill.sets.formats.safetensors import METADATA, TENSORS
from tests.helpers import SHAPE, small_set, waves

STATE = {"1.weight": torch.ones(2, 2)}
IMAGES, LABELS = waves(3, *SHAPE).float(), torch.arange(3)


def is_equal(a: object, b: object) -> bool:
    """Whether two values of a set are equal to the bit."""
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(is_equal(a[k], b[k]) for k in a)
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(is_equal, a, b))
    return a == b


def is_equal_set(a: DistilledSet, b: DistilledSet) -> bool:
    return all(is_equal(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))


def whitened_set(**changes: object) -> DistilledSet:
    """A set with a tensor wherever a set may have one, and scores."""
    zca = {"mean": torch.rand(64), "matrix": torch.eye(64) + 0.1 * torch.rand(64, 64)}
    source = {"name": "mnist", "classes": ["a", "b c/d", "é"], "mean": [0.0], "std": [1.0], "zca": zca}
    baseline = {"mean": 0.25, "std": 0.01, "n": 20, "rates": "rate 0.1"}
    scores = {
        "accuracy": {"mean": 0.5, "std": 0.125, "n": 20, "split": "test", "weights": "held-out"},
        "full_data": 0.99, "baselines": {"random-real": baseline},
    }  # fmt: skip
    provenance = {
        "command": "python -m distill.mnist --n 3",
        "seconds": 1.5,
        "outer_steps": 7,
        "config": {"minutes": None},
    }
    return small_set(**({"source": source, "scores": scores, "provenance": provenance} | changes))


def write_steps(path: Path, x: Tensor, y: Tensor, steps: int = 1, epochs: int = 1) -> Path:
    """A results.pth: what get_steps() returns, the steps of all epochs, each with a rate of its own."""
    parts = list(zip(x.chunk(steps), y.chunk(steps), strict=True))
    lrs = F.softplus(torch.linspace(-4, -3, steps * epochs)[:, None]).unbind()
    torch.save([(*part, lr) for part, lr in zip(parts * epochs, lrs, strict=True)], path)
    return path


def write_experiments(path: Path, *experiments: list[Tensor]) -> Path:
    """A res_*.pt: one [images, labels] per experiment, and accuracies as numpy's floats."""
    torch.save({"data": list(experiments), "accs_all_exps": {"ConvNet": [np.mean([0.5, 0.6])]}}, path)
    return path


def write_best(folder: Path, images: Tensor, labels: Tensor, lr: Tensor | None = None) -> Path:
    """A folder of images_best.pt and labels_best.pt, of DATM with lr_best.pt."""
    folder.mkdir(exist_ok=True)
    torch.save(images, folder / "images_best.pt")
    torch.save(labels, folder / "labels_best.pt")
    if lr is not None:
        torch.save(lr, folder / "lr_best.pt")
    return folder


SAMPLES: dict[str, Callable[[Path], Path]] = {
    "sldd": lambda folder: write_steps(folder / "results.pth", IMAGES, LABELS),
    "dc": lambda folder: write_experiments(folder / "res_DC_blobs.pt", [IMAGES, LABELS]),
    "mtt": lambda folder: write_best(folder / "run", IMAGES, LABELS),
}


def write_sample(word: str, folder: Path) -> Path:
    """A file of a public format: of the project's layout, or an export without the whole set's two files."""
    if word in SAMPLES:
        return SAMPLES[word](folder)
    assert FORMATS[word].writes, f"tests/sets/samples.py: SAMPLES needs a file of the format {word}"
    path = load(WRITERS[word]).write_set(small_set(), folder / f"{word}-sample")
    for name in (TENSORS, METADATA):
        (path / name).unlink()
    return path
