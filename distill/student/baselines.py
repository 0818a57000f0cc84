"""What a score is measured against: all real data, and as many random real items."""

import math
from dataclasses import replace

import torch
from torch import Tensor, nn

from distill.data import Dataset
from distill.problem import Problem
from distill.randomness import stream
from distill.sets import DistilledSet
from distill.student.training import Weights, accuracy, ordinary, replay

RATES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2)  # tried for the random real items, beside the set's own


def full_data(train: Dataset, test: Dataset, network: nn.Module, weights: Weights) -> float:
    """Test accuracy of the network trained on all real data.

    Adam at 0.002 falling to 0, batches of 128, four epochs or 1,700 steps, whichever is more.
    """
    epochs = max(4, math.ceil(1700 * 128 / len(train)))

    def adam(parameters: object) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters, lr=0.002)  # type: ignore[arg-type]

    student = ordinary(train, network, weights, adam, epochs, 128, stream("full-data"))
    return accuracy(student, test)


def random_real(
    data: DistilledSet,
    problem: Problem,
    train: Dataset,
    held_out: Dataset,
    test: Dataset,
    weights: list[Weights],
    draws: int = 20,
) -> tuple[list[float], str]:
    """Test accuracies of `draws` sets of as many random real items with their hard labels.

    They are trained by the set's own schedule and rule, with the set's own rates or with one
    constant rate, whichever does best on held-out real items; that choice is the second answer.
    """
    own = {"the set's rates": data.lrs}
    tried = own | {f"rate {r:g}": torch.full_like(data.lrs, r) for r in RATES}

    def score(name: str, lrs: Tensor, split: Dataset, kind: str, k: int) -> float:
        x, y = real_items(train, data, stream(name, kind, k))
        student = replay(replace(data, items=x, labels=y, lrs=lrs), problem, weights[k % len(weights)])
        return accuracy(student, split)

    def mean(item: tuple[str, Tensor]) -> float:
        return sum(score("random-real", item[1], held_out, "choose", k) for k in range(5))

    best, lrs = max(tried.items(), key=mean)
    return [score("random-real", lrs, test, "score", k) for k in range(draws)], best


def real_items(train: Dataset, like: DistilledSet, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """As many random real items as the set has, the classes in turn from a random one on, labels one-hot."""
    n, classes = like.labels.shape
    order = torch.randperm(classes, generator=generator)
    picks, labels = [], []
    for i in range(n):
        label = int(order[i % classes])
        own = train.of_class(label)
        picks.append(own[torch.randint(len(own), (), generator=generator)])
        labels.append(label)
    x, y = train.batch(torch.stack(picks))
    return x, torch.nn.functional.one_hot(y, classes).to(like.labels)
