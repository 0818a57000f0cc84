"""What a score is measured against: all real data, and as many real items as the set has."""

import math
from collections.abc import Iterable
from dataclasses import replace
from functools import cache

import torch
from torch import Tensor, nn

from distill.data.dataset import Dataset
from distill.inner.problem import Problem
from distill.randomness import stream
from distill.sets.distilled import DistilledSet
from distill.student.comparison.coresets import Draw
from distill.student.evaluation import accuracy
from distill.student.loop import train_ordinary
from distill.student.scores import Report
from distill.student.training import Student, Weights, replay

CHOOSING_ITEMS = 1000  # held-out items that choose between learning rates
CHOOSING_DRAWS = 5  # draws of items that do
LONG, LONG_DRAWS = 50, 2  # steps of a recipe, beyond which so many draws do: each takes as long as many
ORDINARY = (
    (600, 2),
    (1700, 4),
)  # steps on all real data that are tried, and the epochs that they are at least
ORDINARY_BATCH = 128
LRS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2)  # tried for the real items, beside the set's own


def full_data_accuracy(
    train: Dataset, held_out: Dataset, test: Dataset, network: nn.Module, weights: Weights
) -> float:
    """Test accuracy of the network trained on all real data."""
    return accuracy(train_on_all(train, held_out, network, weights), test)


def report_full_data(train: Dataset, test: Dataset, network: nn.Module, weights: Weights) -> Report:
    """The same as a report; a tenth of the training items is held out to choose."""
    real, held_out = train.hold_out(len(train), stream("split", "full-data"))
    score = full_data_accuracy(real, held_out, test, network, weights)
    return Report(f"all {len(real)} real items", (score,))


def train_on_all(train: Dataset, held_out: Dataset, network: nn.Module, weights: Weights) -> Student:
    """The network trained on all real data.

    Adam at 0.002 falling to 0, batches of 128, for 600 or 1,700 steps (at least two or four epochs),
    whichever does best on held-out items: text networks forget how to generalise in the longer one.
    """

    students = [train_epochs(train, network, weights, epochs) for epochs in epochs_on_all(len(train))]
    return max(students, key=lambda student: accuracy(student, held_out))


def epochs_on_all(items: int) -> list[int]:
    """The numbers of epochs that train_on_all() tries on so many items."""
    return [max(least, math.ceil(steps * ORDINARY_BATCH / items)) for steps, least in ORDINARY]


def train_epochs(train: Dataset, network: nn.Module, weights: Weights, epochs: int) -> Student:
    """The network trained on all real data for so many epochs."""
    return train_ordinary(train, network, weights, build_adam, epochs, ORDINARY_BATCH, stream("full-data"))


def build_adam(parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
    """The optimiser for real data: Adam at 0.002."""
    return torch.optim.Adam(parameters, lr=0.002)


def count_choices(data: DistilledSet) -> int:
    """How many draws of items choose the learning rate of a baseline of this set."""
    return CHOOSING_DRAWS if len(data.schedule) <= LONG else LONG_DRAWS


def score_baseline(
    name: str,
    draw: Draw,
    data: DistilledSet,
    problem: Problem,
    held_out: Dataset,
    test: Dataset,
    weights: list[Weights],
    draws: int = 20,
) -> tuple[list[float], str]:
    """Test accuracies of students of `draws` draws of items, and the learning rates that they had.

    They are trained by the set's own schedule and rule, with the set's own rates or with one constant rate,
    whichever does best on held-out real items. The name seeds the draws.
    """
    candidates = {"the set's rates": data.lrs}
    candidates |= {f"rate {r:g}": torch.full_like(data.lrs, r) for r in LRS}

    @cache
    def draw_items(purpose: str, k: int) -> tuple[Tensor, Tensor]:
        return draw(stream(name, purpose, k))

    def score(lrs: Tensor, split: Dataset, purpose: str, k: int) -> float:
        x, y = draw_items(purpose, k)
        student = replay(
            replace(data, items=x, labels=y, lrs=lrs, attention=None), problem, weights[k % len(weights)]
        )
        return accuracy(student, split)

    size = min(CHOOSING_ITEMS, len(held_out))
    choosing = held_out.select(torch.arange(size, device=held_out.labels.device))

    def total_score(candidate: tuple[str, Tensor]) -> float:
        return sum(score(candidate[1], choosing, "choose", k) for k in range(count_choices(data)))

    best, lrs = max(candidates.items(), key=total_score)
    return [score(lrs, test, "score", k) for k in range(draws)], best
