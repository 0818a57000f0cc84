"""How images are normalised: the published mean and std of projects, and the ZCA whitening of kornia."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from distill.data.dataset import Dataset
from distill.data.whiten import check_in_memory, fit_zca
from distill.sets.distilled import DistilledSet

Moments = tuple[tuple[float, ...], tuple[float, ...]]  # mean and std of each channel, of pixels in [0, 1]
SSNL_MOMENTS: dict[str, Moments] = {  # SsnL/dataset-distillation, datasets/__init__.py
    "mnist": ((0.1307,), (0.3081,)),
    "usps": ((0.15972736477851868,), (0.25726667046546936,)),
    "svhn": (
        (0.4379104971885681, 0.44398033618927, 0.4729299545288086),
        (0.19803012907505035, 0.2010156363248825, 0.19703614711761475),
    ),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.247, 0.243, 0.261)),
}
VICO_MOMENTS: dict[str, Moments] = {  # VICO-UoE/DatasetCondensation, utils.py; also MTT, DATM, DD-Ranking
    "mnist": ((0.1307,), (0.3081,)),
    "fashionmnist": ((0.2861,), (0.3530,)),
    "svhn": ((0.4377, 0.4438, 0.4728), (0.1980, 0.2010, 0.1970)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    "cifar100": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
}
FREPO_MOMENTS: dict[str, Moments] = {  # yongchao97/FRePo, lib/dataset/dataloader.py; also RCIG
    "mnist": ((0.1307,), (0.3081,)),
    "fashionmnist": ((0.2861,), (0.3530,)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": ((0.5071, 0.4866, 0.4409), (0.2673, 0.2564, 0.2762)),
}
KORNIA_EPS = 0.1  # which MTT and DATM pass to ZCAWhitening


def find_moments(table: Mapping[str, Moments], name: str, channels: int) -> Moments | None:
    """A project's mean and std for a data set by its name, or by the name of its file; None if unknown."""
    moments = table.get(simplify_name(name))
    return moments if moments and len(moments[0]) == channels else None


def simplify_name(name: str) -> str:
    """'cifar10' for cifar-10 and data/CIFAR_10.npz."""
    return "".join(character for character in Path(name).stem.lower() if character.isalnum())


def fit_kornia_zca(train: Dataset) -> dict[str, Tensor]:
    """What kornia's ZCAWhitening(eps=0.1) fits to pixels in [0, 1]; its covariance divides by N - 1."""
    ratio = len(train) / (len(train) - 1)
    zca = fit_zca(train, KORNIA_EPS / ratio)
    return {**zca, "matrix": zca["matrix"] / math.sqrt(ratio)}


def fit_normalised_zca(train: Dataset, moments: Moments | None) -> dict[str, Tensor]:
    """FRePo's whitening, of pixels in [0, 1]: that of images with mean 0 and std 1 in each channel.

    The ridge is a tenth of the mean eigenvalue of their covariance.
    """
    check_in_memory(train)
    std = torch.tensor((moments or (train.mean, train.std))[1]).repeat_interleave(train.items[0, 0].numel())
    return fit_zca(train, std=std)


def normalise_like(split: Dataset, data: DistilledSet) -> Dataset:
    """Real images with the mean and std of a distilled set, as a network needs them that the set trained.

    Whitening is not applied here.
    """
    mean, std = data.source.get("mean"), data.source.get("std")
    is_words = data.text is not None and "encoder" not in data.text
    if is_words or not mean or not std or len(mean) != len(split.mean):
        return split
    return replace(split, mean=tuple(mean), std=tuple(std))
