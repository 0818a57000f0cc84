"""What public files of distilled images hold, whose each is told from its content; nothing in it is executed.

results.pth     SsnL/dataset-distillation and ilia10000's fork: a list of (data, label, lr), one per step
res_*.pt        VICO-UoE/DatasetCondensation (DC, DSA, DM): {"data": [[images, labels] per experiment], …}
images_best.pt  GeorgeCazenavette/mtt-distillation, NUS-HPC-AI-Lab/DATM: a tensor; labels_best.pt beside
                it, of DATM lr_best.pt too
"""

import os
import warnings
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distill.errors import SetError
from distill.sets.safe_load import load

CORES = ("core", "_core")  # numpy's module before and since 2.0
SCALARS = ("numpy dtype", "_codecs encode", *(f"numpy.{core}.multiarray scalar" for core in CORES))


@dataclass(frozen=True)
class Found:
    """What a file holds. labels are long (n,) or float (n, classes); schedule and lrs where it has steps."""

    project: str
    items: Tensor
    labels: Tensor
    schedule: Tensor | None = None
    lrs: Tensor | None = None
    lr: float | None = None
    epochs: int = 1
    siamese: bool = False
    remarks: tuple[str, ...] = ()


def is_public(path: str | os.PathLike[str]) -> bool:
    """Whether a file or folder is laid out in one of these formats; damaged files are not."""
    try:
        return layout(loaded(images_in(Path(path)))) != ""
    except SetError:
        return False


def opened(path: str | os.PathLike[str], experiment: int) -> Found:
    """What a file, or a folder with images_best.pt, holds. Raises SetError."""
    path = images_in(Path(path))
    content = loaded(path)
    kind = layout(content)
    if kind == "steps":
        return steps_of(content, path)
    if kind == "experiments":
        return experiment_of(content["data"], path, experiment)
    if kind == "images":
        return images_of(content, path)
    raise SetError(
        f"{path} is none of the public formats: a list of (data, label, lr), a dict with data, or a tensor of"
        " images"
    )


def layout(content: Any) -> str:
    """What the content is: steps, experiments, images, or "" for none of them."""
    if isinstance(content, list) and content and all(is_step(step) for step in content):
        return "steps"
    if isinstance(content, dict) and isinstance(content.get("data"), list):
        return "experiments"
    return "images" if is_plain(content) and content.ndim == 4 else ""


def images_in(path: Path) -> Path:
    """The file to read: for a folder its images_best.pt."""
    best = path / "images_best.pt"
    return best if best.is_file() else path


def loaded(path: Path) -> Any:
    """The content of a .pt or .pth; never executes what a pickle hides. Raises SetError."""
    if not path.is_file():
        raise SetError(f"{path}: no such file" if not path.exists() else f"{path} holds no images_best.pt")
    try:
        with warnings.catch_warnings(), harmless():
            warnings.simplefilter("ignore")
            return load(path, "cpu", SCALARS)
    except Exception as error:  # torch has a dozen ways to say no
        raise SetError(
            f"{path} cannot be read: it is truncated, damaged, or holds more than tensors and plain values"
            f" ({type(error).__name__})"
        ) from None


def harmless() -> AbstractContextManager[Any]:
    """Lets torch.load make numpy's float scalars, which a res_*.pt keeps its accuracies in, and no more."""
    if not hasattr(torch.serialization, "safe_globals"):
        return nullcontext()
    scalar: Any = np.float64(0).__reduce__()[0]
    names = [(scalar, f"numpy.{core}.multiarray.scalar") for core in CORES]
    return torch.serialization.safe_globals([*names, np.dtype, type(np.dtype(np.float64))])


def is_step(step: Any) -> bool:
    return isinstance(step, tuple | list) and len(step) == 3 and all(map(is_plain, step))


def is_plain(tensor: Any) -> bool:
    """Whether it is a tensor of numbers, not of truth values; sparse and complex ones are never loaded."""
    return isinstance(tensor, Tensor) and tensor.dtype != torch.bool


def steps_of(content: list[Any], path: Path) -> Found:
    """A results.pth: save_results() of utils/io.py writes get_steps(), the steps of all epochs in order.

    Steps that repeat an earlier one's data and labels share its items.
    """
    unique: list[tuple[Tensor, Tensor]] = []
    order = []
    for t, (x, y, lr) in enumerate(content, 1):
        if x.shape != content[0][0].shape or y.shape != content[0][1].shape or x.shape[:1] != y.shape[:1]:
            raise SetError(
                f"{path}: step {t} has data {list(x.shape)} and labels {list(y.shape)}, unlike step 1"
            )
        if lr.numel() != 1:
            raise SetError(f"{path}: step {t} has {lr.numel()} learning rates: one is needed")
        same = (k for k, (a, b) in enumerate(unique) if torch.equal(a, x) and torch.equal(b, y))
        order.append(next(same, len(unique)))
        if order[-1] == len(unique):
            unique.append((x, y))
    if content[0][0].ndim == 0:
        raise SetError(f"{path}: the data of its steps are single numbers, not images")
    b = len(content[0][0])
    return Found(
        project="SsnL/dataset-distillation",
        items=torch.cat([x for x, _ in unique]).detach(),
        labels=torch.cat([y for _, y in unique]).detach(),
        schedule=torch.tensor(order)[:, None] * b + torch.arange(b),
        lrs=torch.stack([lr.detach().float().reshape(()) for _, _, lr in content]),
        remarks=("its weights are new ones: the file holds no fixed initialisation",),
    )


def experiment_of(data: list[Any], path: Path, experiment: int) -> Found:
    """One of the experiments of a res_*.pt. Its name tells the method: res_DSA_CIFAR10_ConvNet_10ipc.pt."""
    count = len(data)
    if not -count <= experiment < count:
        raise SetError(
            f"{path} holds {count} experiments: --experiment {experiment} is none of 0 … {count - 1}"
        )
    pair = data[experiment]
    if not isinstance(pair, tuple | list) or len(pair) != 2 or not all(map(is_plain, pair)):
        raise SetError(f"{path}: experiment {experiment} is not a pair of images and labels")
    siamese = bool({"DSA", "DM"} & set(path.stem.split("_")))
    return Found(
        project="VICO-UoE/DatasetCondensation",
        items=pair[0].detach(),
        labels=pair[1].detach(),
        epochs=1000 if siamese else 300,
        siamese=siamese,
        remarks=(f"experiment {experiment % count} of 0 … {count - 1}",),
    )


def images_of(images: Tensor, path: Path) -> Found:
    """images_best.pt with labels_best.pt, and lr_best.pt or lr.pt, beside it."""
    if "_zca_" in path.name:
        raise SetError(f"{path} holds images to look at: give the folder, or its images_best.pt with --zca")
    labels = loaded(path.with_name(path.name.replace("images", "labels")))
    rates = [path.with_name(n) for n in (path.name.replace("images", "lr"), "lr.pt")]
    lr = next((loaded(p) for p in rates if p != path and p.is_file()), None)
    if not is_plain(labels):
        raise SetError(f"{path}: the labels beside it are a {type(labels).__name__}, not a plain tensor")
    if lr is not None and not (isinstance(lr, float) or (is_plain(lr) and lr.numel() == 1)):
        raise SetError(f"{path}: the learning rate beside it is not a single number")
    datm = labels.is_floating_point()
    return Found(
        project="NUS-HPC-AI-Lab/DATM" if datm else "GeorgeCazenavette/mtt-distillation",
        items=images.detach(),
        labels=labels.detach(),
        lr=None if lr is None else float(lr),
        epochs=1000,
        siamese=True,
    )
