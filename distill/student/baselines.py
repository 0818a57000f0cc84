"""What a score is measured against: all real data, and as many random real items or k-means centres."""

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import cache

import torch
from torch import Tensor, nn

from distill.data.clusters import fit_k_means
from distill.data.dataset import Dataset
from distill.inner.problem import Problem
from distill.randomness import stream
from distill.sets.distilled import DistilledSet
from distill.student.evaluate import accuracy
from distill.student.loop import ordinary
from distill.student.training import Student, Weights, replay

ENOUGH = 1000  # held-out items that choose between rates
RATES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2)  # tried for the random real items, beside the set's own


def full_data(
    train: Dataset, held_out: Dataset, test: Dataset, network: nn.Module, weights: Weights
) -> float:
    """Test accuracy of the network trained on all real data."""
    return accuracy(taught_by_all(train, held_out, network, weights), test)


def taught_by_all(train: Dataset, held_out: Dataset, network: nn.Module, weights: Weights) -> Student:
    """The network trained on all real data.

    Adam at 0.002 falling to 0, batches of 128, for 600 or 1,700 steps (at least two or four epochs),
    whichever does best on held-out items: text networks forget how to generalise in the longer one.
    """

    def trained(steps: int, least: int) -> Student:
        epochs = max(least, math.ceil(steps * 128 / len(train)))
        return ordinary(train, network, weights, adam, epochs, 128, stream("full-data"))

    students = [trained(600, 2), trained(1700, 4)]
    return max(students, key=lambda student: accuracy(student, held_out))


def adam(parameters: Iterable[Tensor]) -> torch.optim.Optimizer:
    return torch.optim.Adam(parameters, lr=0.002)


Draw = Callable[[torch.Generator], tuple[Tensor, Tensor]]  # as many items as the set has, labels one-hot


def random_real(data: DistilledSet, train: Dataset) -> Draw:
    """Random real items, the classes in turn from a random one on."""

    def draw(generator: torch.Generator) -> tuple[Tensor, Tensor]:
        picks, labels = [], turns(data, train, generator)
        for label in labels.tolist():
            own = train.class_indices(label)
            picks.append(own[torch.randint(len(own), (), generator=generator)])
        return train.batch(torch.stack(picks))[0], one_hot(labels, data)

    return draw


def k_means(data: DistilledSet, train: Dataset, most: int = 500) -> Draw:
    """Centres of k-means within each class, of at most `most` of its real items, the classes in turn."""

    def draw(generator: torch.Generator) -> tuple[Tensor, Tensor]:
        labels = turns(data, train, generator)
        items = torch.empty(len(labels), *data.items.shape[1:], device=data.items.device)
        for label in labels.unique().tolist():
            own = train.class_indices(label)
            picks = own[torch.randperm(len(own), generator=generator)[:most].to(own.device)]
            places = torch.nonzero(labels == label).flatten()
            items[places.to(items.device)] = fit_k_means(train.initial_items(picks), len(places), generator)
        return items, one_hot(labels, data)

    return draw


def turns(data: DistilledSet, train: Dataset, generator: torch.Generator) -> Tensor:
    """A class per item: all that have real items in turn, from a random one on."""
    classes = train.labels.unique().cpu()
    return classes[torch.randperm(len(classes), generator=generator)[torch.arange(len(data)) % len(classes)]]


def one_hot(labels: Tensor, data: DistilledSet) -> Tensor:
    return torch.nn.functional.one_hot(labels, data.labels.shape[1]).to(data.labels)


def baseline(
    name: str,
    draw: Draw,
    data: DistilledSet,
    problem: Problem,
    held_out: Dataset,
    test: Dataset,
    weights: list[Weights],
    draws: int = 20,
) -> tuple[list[float], str]:
    """Test accuracies of `draws` draws of as many items with hard labels, given the set's treatment.

    They are trained by the set's own schedule and rule, with the set's own rates or with one
    constant rate, whichever does best on held-out real items; that choice is the second answer.
    """
    own = {"the set's rates": data.lrs}
    tried = own | {f"rate {r:g}": torch.full_like(data.lrs, r) for r in RATES}

    @cache
    def drawn(kind: str, k: int) -> tuple[Tensor, Tensor]:
        return draw(stream(name, kind, k))

    def score(lrs: Tensor, split: Dataset, kind: str, k: int) -> float:
        x, y = drawn(kind, k)
        student = replay(replace(data, items=x, labels=y, lrs=lrs), problem, weights[k % len(weights)])
        return accuracy(student, split)

    few = held_out.select(torch.arange(min(ENOUGH, len(held_out)), device=held_out.labels.device))

    def mean(item: tuple[str, Tensor]) -> float:
        return sum(score(item[1], few, "choose", k) for k in range(5))

    best, lrs = max(tried.items(), key=mean)
    return [score(lrs, test, "score", k) for k in range(draws)], best
