"""The protocols of gradient and trajectory matching: SGD with momentum and weight decay, a rate that drops.

dc and dsa are evaluate_synset() of VICO-UoE/DatasetCondensation (Zhao et al. 2021; Zhao and Bilen 2021), mtt
that of GeorgeCazenavette/mtt-distillation (2022), ddranking LabelRobustScoreHard of
NUS-HPC-AI-Lab/DD-Ranking 0.2.0 (Li et al. 2024). All train by the cross-entropy.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import ceil
from typing import Any

import torch

from distill.data.augment.dsa import DSA
from distill.data.augment.each import Augment
from distill.errors import UserError
from distill.registry import EPOCHS, ITEMS, RATE, check_options, option, python_name
from distill.sets.distilled import DistilledSet
from distill.sets.metadata import describe_shape
from distill.sets.public.normalisation import simplify_name
from distill.student import LABELS
from distill.student.protocols.augment import build_changes, build_dc, is_digit_set
from distill.student.protocols.base import Plan, PlannedProtocol
from distill.student.protocols.targets import CROSS_ENTROPY, choose_targets

DECAY: dict[str, Any] = {"at_least": 0, "at_most": 1e6}
SHARE: dict[str, Any] = {"at_least": 0, "below": 1}
DC_WORDS = "crop-scale-rotate"
DSA_WORDS = "color-crop-cutout-flip-scale-rotate"
DEFAULT_LR = 0.01


@dataclass(frozen=True)
class MomentumProtocol(PlannedProtocol):
    """SGD with momentum and weight decay on cross-entropy: the settings that dc, dsa and mtt share."""

    momentum: float = option(0.9, **SHARE)
    weight_decay: float = option(0.0005, **DECAY)
    batch: int = option(256, **ITEMS)
    labels: str = option("auto", choices=LABELS, noun="label map")
    augment: str = option("auto")

    def __post_init__(self) -> None:
        check_options(self, python_name)


@dataclass(frozen=True)
class DC(MomentumProtocol):
    """SGD 0.01, momentum 0.9, weight decay 5e-4, batches of 256; a tenth of the rate in the second half.

    The momentum starts anew where the rate drops, and there is one epoch more than is asked for, as in the
    authors' code. epochs: by default 300, or 1,000 with augmentation. augment: auto (crop-scale-rotate for
    MNIST, none for other sets), none, or some of these words.
    """

    epochs: int | None = option(None, **EPOCHS)
    lr: float = option(DEFAULT_LR, **RATE)

    def plan(self, data: DistilledSet) -> Plan:
        """The training on this set. Raises UserError for labels or items that it cannot serve."""
        is_mnist = simplify_name(data.source["name"]) == "mnist" and data.items.ndim == 4
        augment = choose_augmentation(data, self.augment, DC_WORDS if is_mnist else "none", build_dc)
        epochs = self.epochs or (1000 if augment else 300)
        return plan_halves(self, data, epochs, self.lr, augment)


@dataclass(frozen=True)
class SiameseAugmentation(MomentumProtocol):
    """dc for 1,000 epochs with the changes of DSA, one of six for each batch.

    augment: auto (all six; without the flip for digits), none, or some of the words color, crop, cutout,
    flip, scale, rotate, joined by dashes.
    """

    epochs: int = option(1000, **EPOCHS)
    lr: float = option(DEFAULT_LR, **RATE)

    def plan(self, data: DistilledSet) -> Plan:
        """The training on this set. Raises UserError for labels or items that it cannot serve."""
        return plan_halves(self, data, self.epochs, self.lr, choose_dsa(data, self.augment))


@dataclass(frozen=True)
class TrajectoryMatching(MomentumProtocol):
    """dsa at the learned rate of the set. Its items are whitened (ZCA) where the set says so, and not else.

    lr: by default the largest rate of the set's recipe, averaged over tensors, which for MTT's own sets is
    the learned one; 0.01 for a set that was learned with Adam, whose rates mean something else.
    """

    epochs: int = option(1000, **EPOCHS)
    lr: float | None = option(None, **RATE)

    def plan(self, data: DistilledSet) -> Plan:
        """The training on this set. Raises UserError for labels or items that it cannot serve."""
        if data.source.get("zca") is not None and data.items.shape[1] == 1:
            raise UserError(
                "the items are whitened grey images, and mtt whitens colours: choose another protocol"
            )
        lr = find_learned_lr(data) if self.lr is None else self.lr
        return plan_halves(self, data, self.epochs, lr, choose_dsa(data, self.augment))


@dataclass(frozen=True)
class DDRanking(PlannedProtocol):
    """SGD 0.01, momentum 0.9, weight decay 5e-4, 1,000 epochs, batches of 128, a tenth of the rate each 500.

    These are the settings of configs/Demo_LRS_Hard_Label.yaml, with the changes of DSA and the last epoch's
    network; their code also tries five rates and reports the best test accuracy of all epochs, which is not
    honest. Their labels are hard; soft ones go through a softmax, as in their losses.
    """

    epochs: int = option(1000, **EPOCHS)
    lr: float = option(DEFAULT_LR, **RATE)
    momentum: float = option(0.9, **SHARE)
    weight_decay: float = option(0.0005, **DECAY)
    step_size: int = option(500, **EPOCHS)
    gamma: float = option(0.1, above=0, at_most=1)
    batch: int = option(128, **ITEMS)
    labels: str = option("hard", choices=LABELS, noun="label map")
    augment: str = option("auto")

    def __post_init__(self) -> None:
        check_options(self, python_name)

    def plan(self, data: DistilledSet) -> Plan:
        """The training on this set. Raises UserError for labels or items that it cannot serve."""
        passes = count_passes(data, self.batch)
        factors = [
            self.gamma ** (epoch // self.step_size) for epoch in range(self.epochs) for _ in range(passes)
        ]
        sgd = build_sgd(self.lr, self.momentum, self.weight_decay)
        augment = choose_dsa(data, self.augment)
        targets = choose_targets(data, CROSS_ENTROPY, self.labels)
        return Plan(targets, sgd, factors, self.batch, augment=augment)


def plan_halves(
    settings: MomentumProtocol,
    data: DistilledSet,
    epochs: int,
    lr: float,
    augment: Augment | None,
) -> Plan:
    """The plan of evaluate_synset(): a tenth of the rate from epoch epochs // 2 + 2 on, counted from 0."""
    passes, drop = count_passes(data, settings.batch), epochs // 2 + 2
    factors = [1.0 if epoch < drop else 0.1 for epoch in range(epochs + 1) for _ in range(passes)]
    return Plan(
        choose_targets(data, CROSS_ENTROPY, settings.labels),
        build_sgd(lr, settings.momentum, settings.weight_decay),
        factors,
        settings.batch,
        restarts=frozenset([drop * passes]),
        augment=augment,
    )


def count_passes(data: DistilledSet, batch: int) -> int:
    """The batches of an epoch."""
    return ceil(len(data) / batch)


def build_sgd(lr: float, momentum: float, weight_decay: float) -> Callable[..., torch.optim.Optimizer]:
    """torch's SGD with these settings, for parameters."""
    return partial(torch.optim.SGD, lr=lr, momentum=momentum, weight_decay=weight_decay)


def find_learned_lr(data: DistilledSet) -> float:
    """The largest rate of the set's steps, averaged over tensors; 0.01 where its rule is not SGD."""
    rates = data.lrs.reshape(len(data.lrs), -1).mean(dim=1)
    return float(rates.max()) if data.inner["rule"] == "sgd" and rates.max() > 0 else DEFAULT_LR


def choose_dsa(data: DistilledSet, words: str) -> Augment | None:
    """The changes of DSA by their words; "auto" is all, without the flip for digits. Raises UserError."""
    default = DSA_WORDS.replace("flip-", "") if is_digit_set(data) else DSA_WORDS
    return choose_augmentation(data, words, default, partial(build_changes, DSA))


def choose_augmentation(
    data: DistilledSet, words: str, default: str, build: Callable[[str], Augment]
) -> Augment | None:
    """The augmentation of these words, the default for "auto", None for "none".

    Raises UserError where it is for images and the set's items are none.
    """
    words = default if words == "auto" else words
    if words == "none":
        return None
    if data.items.ndim != 4:
        raise UserError(
            f"the protocol changes images at random, and the set's items are {describe_shape(data.items[0])}"
            " numbers: leave that out by augment none, or choose the protocol dc or adam"
        )
    return build(words)
