"""Public formats of distilled images, read as sets with the recipe that their own evaluation trains by.

None of them says what the images were made from, so the real training data are asked for: they give the
classes and, by name, the mean and std that the project's code normalises by.
"""

import math
import os
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from distill.data.dataset import Dataset
from distill.data.whiten import Whitening, fit_zca
from distill.errors import SetError
from distill.randomness import stream
from distill.sets.distilled import DistilledSet
from distill.sets.formats.public_files import Found, opened

Moments = tuple[tuple[float, ...], tuple[float, ...]]
WANG: dict[str, Moments] = {  # SsnL/dataset-distillation, datasets/__init__.py
    "mnist": ((0.1307,), (0.3081,)),
    "usps": ((0.15972736477851868,), (0.25726667046546936,)),
    "svhn": (
        (0.4379104971885681, 0.44398033618927, 0.4729299545288086),
        (0.19803012907505035, 0.2010156363248825, 0.19703614711761475),
    ),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.247, 0.243, 0.261)),
}
ZHAO: dict[str, Moments] = {  # VICO-UoE/DatasetCondensation, utils.py; MTT, DATM and DD-Ranking have the same
    "mnist": ((0.1307,), (0.3081,)),
    "fashionmnist": ((0.2861,), (0.3530,)),
    "svhn": ((0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    "cifar100": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
}
SIAMESE = "color-crop-cutout-flip-scale-rotate"  # the default of DM, MTT and DATM
SYMBOLS = ("mnist", "kmnist", "usps", "svhn")  # flipped, they are others
ZCA_EPS, DECAY, BATCH = 0.1, 0.0005, 256


def read(
    path: str | os.PathLike[str],
    train: Dataset,
    name: str | None = None,
    experiment: int = -1,
    epochs: int | None = None,
    lr: float | None = None,
    augment: str | None = None,
    zca: bool = False,
    network: str | None = None,
) -> DistilledSet:
    """The set in a public file, with an honest recipe; what differs from theirs is in provenance["remarks"].

    train: the real training data that it was made from, name: how they are found again. experiment: which
    of a res_*.pt. epochs: how often a results.pth is run through (once: the file holds all its steps, their
    epochs unrolled); else of training (300 for DC, 1,000 for the others, and the one more of their code).
    lr: instead of the file's, or of 0.01. augment: words of ours, "" for none. zca: their --zca. network:
    instead of LeNet (results.pth; AlexCifarNet for CIFAR-10) or ConvNet. Raises SetError.
    """
    found, name = opened(path, experiment), name or train.name
    check(found, train, path)
    labels, remark = soft(found, len(train.classes))
    source, about = facts(found, train, name, zca)
    own = found.schedule is not None
    recipe = replayed(found, epochs, lr) if own else trained(found, epochs, lr)
    words, told = augmented(found, name, augment)
    items, labels, schedule, lrs = (
        t.to(train.items.device) for t in (found.items.float(), labels, *recipe[:2])
    )
    return DistilledSet(
        items=items,
        labels=labels,
        schedule=schedule,
        lrs=lrs,
        inner={
            "rule": "sgd", **({} if own else {"momentum": 0.9, "weight_decay": DECAY}),
            "loss": "soft-cross-entropy", "augment": words,
        },
        network=network_of(found, name, network),
        source=source,
        provenance={
            "command": command(
                path, dataset=name, experiment=None if experiment == -1 else experiment, epochs=epochs, lr=lr,
                augment=augment, network=network, zca=zca or None,
            ),
            "format": found.project,
            "remarks": [r for r in (*found.remarks, about, remark, told, *recipe[2]) if r],
        },
    )  # fmt: skip


def command(path: str | os.PathLike[str], **options: str | float | None) -> str:
    """The command line that reads the file so."""
    given = [(f"--{name}", str(value)) for name, value in options.items() if value is not None]
    words = [word for pair in given for word in pair if word != "True"]
    return shlex.join(["distill", "import", Path(path).name, *words])


def check(found: Found, train: Dataset, path: str | os.PathLike[str]) -> None:
    """Raise SetError where a file does not go with the real data."""
    items, labels, classes = found.items, found.labels, len(train.classes)
    if items.ndim != 4 or not items.is_floating_point() or items.numel() == 0:
        raise SetError(f"{path} holds data {list(items.shape)}, not images (n, channels, height, width)")
    if tuple(items.shape[1:]) != train.shape:
        raise SetError(
            f"{path} holds images {tuple(items.shape[1:])}, {train.name} has {train.shape}: give the"
            " --dataset that it was made from"
        )
    if labels.shape[:1] != items.shape[:1]:
        raise SetError(f"{path} holds labels {list(labels.shape)} for {len(items)} images: one each")
    if labels.is_floating_point():
        if labels.shape[1:] != (classes,):
            raise SetError(f"{path} holds labels {list(labels.shape)}, {train.name} has {classes} classes")
    elif labels.ndim != 1:
        raise SetError(f"{path} holds labels {list(labels.shape)}: class numbers are {len(items)} in a row")
    elif len(wrong := labels[(labels < 0) | (labels >= classes)]):
        raise SetError(
            f"{path} holds the label {int(wrong[0])}: the {classes} classes of {train.name} are 0 …"
            f" {classes - 1}"
        )
    if found.schedule is not None and classes == 2:
        raise SetError(
            f"{path}: for two classes their networks have one output, ours have two: not the same training"
        )


def soft(found: Found, classes: int) -> tuple[Tensor, str]:
    """Targets for the soft cross-entropy, and a remark.

    One-hot for class numbers; learned labels as they are (ilia10000's mean of -Σ y log softmax is ours); of
    DATM their softmax, as its loss takes it.
    """
    y = found.labels
    if not y.is_floating_point():
        return F.one_hot(y.long(), classes).float(), ""
    if found.schedule is not None:
        return y.float(), ""
    shares = bool((y >= 0).all()) and torch.allclose(y.sum(dim=1), torch.ones(len(y)), atol=1e-3)
    if shares:
        return y.float(), "its labels are shares already and taken as they are"
    return y.float().softmax(dim=1), "its labels are logits: their softmax is the target"


def facts(found: Found, train: Dataset, name: str, zca: bool) -> tuple[dict[str, Any], str]:
    """The set's `source`: how real images look to a network that it trains; and a remark."""
    table = WANG if found.schedule is not None else ZHAO
    moments = constants(table, name, train.shape[0])
    mean, std = moments or (train.mean, train.std)
    source: dict[str, Any] = {
        "name": name, "classes": list(train.classes), "mean": list(mean), "std": list(std),
        "train": len(train), "zca": None,
    }  # fmt: skip
    if zca:
        channels = train.shape[0]
        white = {"mean": [0.0] * channels, "std": [1.0] * channels, "zca": whitening(train)}
        return {**source, **white}, ""
    if moments is None:
        return source, f"normalised by the mean and std of {name}: {found.project} has no constants for it"
    return source, f"normalised by {found.project}'s mean {list(mean)} and std {list(std)}"


def constants(table: dict[str, Moments], name: str, channels: int) -> Moments | None:
    """A project's mean and std for a data set by name, or by the name of its file."""
    found = table.get(plain(name))
    return found if found and len(found[0]) == channels else None


def plain(name: str) -> str:
    """'cifar10' for cifar-10 and data/CIFAR_10.npz."""
    return "".join(c for c in Path(name).stem.lower() if c.isalnum())


def whitening(train: Dataset) -> Whitening:
    """What kornia's ZCAWhitening(eps=0.1) fits to pixels in [0, 1]: its covariance is over N - 1."""
    ratio = len(train) / (len(train) - 1)
    white = fit_zca(train, ZCA_EPS / ratio)
    return {**white, "matrix": white["matrix"] / math.sqrt(ratio)}


Recipe = tuple[Tensor, Tensor, tuple[str, ...]]  # schedule, lrs, remarks


def replayed(found: Found, epochs: int | None, lr: float | None) -> Recipe:
    """The steps of a results.pth in their order: plain gradient descent, a rate each."""
    assert found.schedule is not None
    assert found.lrs is not None
    rates = found.lrs if lr is None else torch.full_like(found.lrs, lr)
    times = epochs or 1
    return found.schedule.repeat(times, 1), rates.repeat(times), ()


def trained(found: Found, epochs: int | None, lr: float | None) -> Recipe:
    """As evaluate_synset() of VICO, MTT and DATM trains: SGD, momentum 0.9, a tenth of the rate half-way."""
    n, total = len(found.items), epochs or found.epochs
    b, rate = min(n, BATCH), lr or found.lr or 0.01
    schedule = shuffled(n, total + 1, b)
    epoch = torch.arange(len(schedule)) * b // n
    lrs = torch.where(epoch <= total // 2 + 1, rate, rate / 10)
    remarks = [
        f"SGD, rate {rate:g}, momentum 0.9, weight decay {DECAY:g}, {total + 1} epochs in batches of {b};"
        " where the rate falls theirs forgets its momentum, ours does not"
    ]
    if lr is None and found.lr is None and found.siamese:
        remarks.append("the file holds no learning rate: `distill import --lr` takes that of the run")
    return schedule, lrs, tuple(remarks)


def shuffled(n: int, epochs: int, batch: int) -> Tensor:
    """Batches (T, batch) of n items, in a new order each epoch; they run on over the ends of epochs."""
    if n == batch:
        return torch.arange(n).repeat(epochs, 1)
    order = torch.cat([torch.randperm(n, generator=stream("foreign", e)) for e in range(epochs)])
    return order[: len(order) // batch * batch].view(-1, batch)


def augmented(found: Found, name: str, given: str | None) -> tuple[str, str]:
    """The words of the augmentation that the students get, and a remark."""
    if given is not None:
        return given, ""
    if not found.siamese:
        more = " (theirs also crops, scales and rotates MNIST, for 1,000 epochs)"
        own = plain(name) == "mnist" and found.schedule is None
        return "", f"no augmentation{more}" if own else ""
    words = SIAMESE.replace("flip-", "") if plain(name) in SYMBOLS else SIAMESE
    return words, f"augmented by our {words}: one change for the whole batch, theirs differs per image"


def network_of(found: Found, name: str, given: str | None) -> dict[str, Any]:
    """Their default network, or another; drawn as theirs (biases zero, where torch's ConvNet draws them)."""
    wang = found.schedule is not None
    scheme = {"init": "random", "scheme": "xavier" if wang else "uniform"}
    if given is not None:
        return {"name": given, "arguments": {}, **scheme}
    if wang:
        return {"name": "alexcifarnet" if plain(name) == "cifar10" else "lenet", "arguments": {}, **scheme}
    channels, size = found.items.shape[1:3]
    arguments = {"depth": max(3, round(math.log2(size / 4)))} if size > 32 else {}
    arguments |= {"padding": 3} if channels == 1 else {}
    return {"name": "convnet", "arguments": arguments, **scheme}


def normalised(split: Dataset, data: DistilledSet) -> Dataset:
    """Real images as a network that a set trained sees them, before any whitening."""
    mean, std = data.source.get("mean"), data.source.get("std")
    if data.text or not mean or not std or len(mean) != len(split.mean):
        return split
    return replace(split, mean=tuple(mean), std=tuple(std))
