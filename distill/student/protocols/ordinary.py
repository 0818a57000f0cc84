"""Ordinary training: minibatches, an optimiser of torch.optim, and the loss of the set."""

from dataclasses import dataclass, field
from functools import partial

import torch

from distill.data.augment.batch import build_augmentation
from distill.data.augment.each import Augment
from distill.inner import INNER_LOSSES
from distill.registry import EPOCHS, ITEMS, RATE, STEPS, check_options, option, python_name
from distill.sets.distilled import DistilledSet
from distill.sets.plain_types import check_count
from distill.student import LABELS
from distill.student.loop import Optimiser, count_batches
from distill.student.protocols.base import Plan, PlannedProtocol
from distill.student.protocols.frepo import warm_up_and_fall
from distill.student.protocols.standard import choose_augmentation
from distill.student.protocols.targets import CROSS_ENTROPY, choose_targets
from distill.student.training import build_set_augmentation

LOSSES = ("auto", *INNER_LOSSES)


@dataclass(frozen=True)
class Ordinary(PlannedProtocol):
    """Minibatches of the set, and an optimiser of torch.optim whose rate falls linearly to zero.

    The loss is the set's own, and items are changed by the augmentation that the set was learned with.
    """

    optimiser: Optimiser = field(default_factory=lambda: partial(torch.optim.Adam, lr=0.001))
    epochs: int = 100
    batch: int = 10
    labels: str = "auto"

    def plan(self, data: DistilledSet) -> Plan:
        """The training on this set. Raises UserError."""
        epochs, batch = check_count("epochs", self.epochs, EPOCHS), check_count("batch", self.batch, ITEMS)
        steps = count_batches(data, batch, epochs)
        return Plan(
            choose_targets(data, choose_loss(data, "auto"), self.labels),
            self.optimiser,
            [1 - step / steps for step in range(steps)],
            batch,
            augment=choose_own(data, "auto"),
        )


@dataclass(frozen=True)
class Adam(PlannedProtocol):
    """Adam 1e-3, 200 steps in minibatches, its rate falling to zero as a cosine.

    loss: auto is the set's own. augment: auto (as the set was learned), none, or words of AUGMENTATIONS.
    label_scale: of the targets of a squared error that are made of other labels.
    """

    steps: int = option(200, **STEPS)
    lr: float = option(0.001, **RATE)
    batch: int = option(64, **ITEMS)
    loss: str = option("auto", choices=LOSSES)
    labels: str = option("auto", choices=LABELS, noun="label map")
    label_scale: float = option(1.0, **RATE)
    augment: str = option("auto")

    def __post_init__(self) -> None:
        check_options(self, python_name)

    def plan(self, data: DistilledSet) -> Plan:
        """The training on this set. Raises UserError."""
        return Plan(
            choose_targets(data, choose_loss(data, self.loss), self.labels, self.label_scale),
            partial(torch.optim.Adam, lr=self.lr),
            warm_up_and_fall(self.steps, 0, 0.0),
            self.batch,
            augment=choose_own(data, self.augment),
        )


def choose_loss(data: DistilledSet, loss: str) -> str:
    """The loss of this name; for "auto" the set's own, or the cross-entropy where that is a function."""
    if loss != "auto":
        return loss
    return data.inner["loss"] if data.inner["loss"] in INNER_LOSSES else CROSS_ENTROPY


def choose_own(data: DistilledSet, words: str) -> Augment | None:
    """The augmentation that the set was learned with for "auto", else that of words. Raises UserError."""
    if words == "auto":
        return build_set_augmentation(data) if data.inner.get("augment") else None
    return choose_augmentation(data, words, words, build_augmentation)
