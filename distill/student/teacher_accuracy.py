"""Whether a teacher knows the data: its accuracy on a few labelled training items, beside guessing."""

import math
import sys
from typing import NamedTuple

import torch
from torch import nn

from distill.data.dataset import Dataset
from distill.errors import UserError
from distill.randomness import stream
from distill.student.evaluation import predict_classes

ITEMS, NUMBERS = 1000, 2**24  # at most so many items, which hold so many numbers: 111 images of 224×224
LEAST = 20  # however large they are

CAUSES = "look at its classes and their order, and at how its {items} were prepared{how}"
OF_IMAGES = ": their size, mean and std, and whitening"


class Agreement(NamedTuple):
    """How often a teacher's classes are those of the labels, and how often they would be by guessing."""

    accuracy: float
    chance: float
    items: int
    classes: int  # of the items: where there is one, nobody is better than guessing

    @property
    def error(self) -> float:
        """The standard error of guessing."""
        return math.sqrt(self.chance * (1 - self.chance) / self.items)

    @property
    def sentence(self) -> str:
        """'97.2 % of 1,000 training items (guessing: 10.0 %)'."""
        right, guessed = (f"{100 * share:.1f} %" for share in (self.accuracy, self.chance))
        return f"{right} of {self.items:,} training items (guessing: {guessed})"


def check_accuracy(teacher: nn.Module, train: Dataset, name: str) -> None:
    """Say on stderr how many of at most 1,000 training items a teacher gets right, and warn where few are.

    Few is below twice the share of guessing, or below a tenth of the way from there to all: of two classes
    nobody gets twice the half. Raises UserError where guessing is as good within its standard error.
    """
    found, causes = measure_agreement(teacher, train), describe_causes(train)
    if found.classes == 1:
        print(f"{name} gets {found.sentence} right: all are of one class, which says little", file=sys.stderr)
        return
    if found.accuracy <= found.chance + found.error:
        raise UserError(
            f"{name:.100} gets {found.sentence} right, so its labels would say nothing of {train.name:.60}:"
            f" {causes}, or train it longer"
        )
    print(f"{name} gets {found.sentence} right", file=sys.stderr)
    if found.accuracy < min(2 * found.chance, found.chance + 0.1 * (1 - found.chance)):
        print(f"warning: that is hardly better than guessing: {causes}", file=sys.stderr)


def describe_causes(train: Dataset) -> str:
    """Where to look if a teacher does not know these data."""
    is_images = len(train.shape) == 3
    return CAUSES.format(items="images" if is_images else "items", how=OF_IMAGES if is_images else "")


def measure_agreement(teacher: nn.Module, train: Dataset) -> Agreement:
    """The agreement on random items of a training split, which no score of a student is of.

    Guessing has the teacher's classes in another order of the items: Σ_c (share of its answers) · (share of
    the labels), as in Cohen's kappa. A teacher that always answers the most frequent class only guesses.
    """
    most = max(LEAST, min(ITEMS, NUMBERS // math.prod(train.shape)))
    order = torch.randperm(len(train), generator=stream("teacher", "accuracy"))[:most]
    answers, labels = predict_classes(teacher, train.select(order.to(train.labels.device)))
    shares = [part.bincount(minlength=len(train.classes)) / len(part) for part in (answers, labels)]
    accuracy, chance = float((answers == labels).double().mean()), float(shares[0] @ shares[1])
    return Agreement(accuracy, chance, len(labels), len(labels.unique()))
