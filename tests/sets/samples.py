"""Sets, and files of other projects in their own layout, that the tests of formats read."""

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from distill.registry import load
from distill.sets.distilled import DistilledSet
from distill.sets.formats import FORMATS, WRITERS
from distill.sets.formats.safetensors import METADATA, TENSORS
from distill.sets.labels.top import TopLabels
from distill.student.views.schedule import ViewSchedule, describe_views
from tests.helpers import SHAPE, small_set, waves

PACKAGES = {"frepo": "msgpack", "rat-bptt": "h5py"}  # of the extra "import"
STATE = {"1.weight": torch.ones(2, 2)}
IMAGES, LABELS = waves(3, *SHAPE).float(), torch.arange(3)


def is_equal(a: object, b: object) -> bool:
    """Whether two values of a set are equal to the bit."""
    if isinstance(a, Tensor):
        return isinstance(b, Tensor) and torch.equal(a, b)
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(is_equal(a[k], b[k]) for k in a)
    if isinstance(a, TopLabels):
        return isinstance(b, TopLabels) and is_equal(a.to_dict(), b.to_dict())
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(is_equal, a, b))
    return a == b


def is_equal_set(a: DistilledSet, b: DistilledSet) -> bool:
    return all(is_equal(getattr(a, f.name), getattr(b, f.name)) for f in fields(a))


def make_top(views: int = 2, n: int = 3, classes: int = 3, k: int = 2) -> TopLabels:
    """The k largest values of each label of views."""
    return TopLabels.keep((8 * waves(views, n, classes).float()).softmax(dim=-1), k)


def make_top_set() -> DistilledSet:
    """A set with the largest values of labels per view."""
    data = small_set()
    views = describe_views(ViewSchedule("flip"), data.items)
    return replace(data, view_labels=make_top(), views=views)


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


def pack(value: object) -> object:
    """A value of a checkpoint as flax writes it: arrays as extension 1 of msgpack."""
    import msgpack

    if isinstance(value, dict):
        return {name: pack(inner) for name, inner in value.items()}
    if isinstance(value, np.ndarray):
        return msgpack.ExtType(1, msgpack.packb([list(value.shape), value.dtype.name, value.tobytes()]))
    return value


def write_checkpoint(path: Path, images: Tensor, labels: Tensor, average: bool = False) -> Path:
    """A checkpoint of FRePo; average: of RCIG, whose params are not what it measures."""
    import msgpack

    x, y = images.movedim(1, -1).numpy(), labels.numpy()
    params = {"x_proto": x - average, "y_proto": y}
    tree = {"step": np.array(7), "params": {"log_temp": np.float32([0.5])} | params, "opt_state": {"0": None}}
    if average:
        tree["ema_average"] = {"x_proto": x, "y_proto": y}
    path.write_bytes(msgpack.packb(pack(tree)))
    return path


def write_h5(path: Path, images: Tensor, labels: Tensor | None = None) -> Path:
    """An .h5 of RaT-BPTT: flat images, the epoch, and labels where they were learned."""
    import h5py

    with h5py.File(path, "w") as file:
        file["data"], file["epoch"] = images.flatten(1).numpy(), 5
        if labels is not None:
            file["label"] = labels.numpy()
    return path


def write_pictures(
    folder: Path, names: tuple[str, ...] = ("0", "1", "2"), ending: str = "png", mode: str = "L"
) -> Path:
    """A folder of one picture of 8×8 for each class: class c has the brightness 10 c + 100."""
    from PIL import Image

    for c, name in enumerate(names):
        (folder / name).mkdir(parents=True)
        Image.new("L", (8, 8), 10 * c + 100).convert(mode).save(folder / name / f"0.{ending}")
    return folder


def write_arrays(path: Path) -> Path:
    """An .npz of images and labels, with a learning rate."""
    np.savez(path, images=IMAGES.numpy(), labels=LABELS.numpy(), lr=0.02)
    return path


SAMPLES: dict[str, Callable[[Path], Path]] = {
    "sldd": lambda folder: write_steps(folder / "results.pth", IMAGES, LABELS),
    "dc": lambda folder: write_experiments(folder / "res_DC_blobs.pt", [IMAGES, LABELS]),
    "mtt": lambda folder: write_best(folder / "run", IMAGES, LABELS),
    "frepo": lambda folder: write_checkpoint(folder / "checkpoint_7", IMAGES, torch.eye(3) - 1 / 3),
    "rat-bptt": lambda folder: write_h5(folder / "IPC_1.h5", IMAGES),
    "arrays": lambda folder: write_arrays(folder / "set.npz"),
    "pictures": lambda folder: write_pictures(folder / "pictures", ending="bmp"),  # no cut goes unseen
}


def write_sample(word: str, folder: Path) -> Path:
    """A file of a public format: of the project's layout, or an export without the whole set's two files."""
    if word in PACKAGES:
        pytest.importorskip(PACKAGES[word])
    if word in SAMPLES:
        return SAMPLES[word](folder)
    assert FORMATS[word].writes, f"tests/sets/samples.py: SAMPLES needs a file of the format {word}"
    path = load(WRITERS[word]).write_set(small_set(), folder / f"{word}-sample")
    for name in (TENSORS, METADATA):
        (path / name).unlink()
    return path
