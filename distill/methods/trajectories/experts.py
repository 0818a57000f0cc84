"""Experts: networks trained on the real data, whose weights are kept after each epoch.

Notation: θ*_e is the vector of all weights of an expert after e epochs, in the order of a Problem's names; a
trajectory holds θ*_0 … θ*_E.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from distill.data.augment.each import Augment
from distill.data.dataset import Dataset
from distill.inner.losses import soft_cross_entropy
from distill.inner.problem import Problem, State
from distill.inner.rules import SGD
from distill.inner.step import Step


class Trajectory(NamedTuple):
    """The weights of an expert after each epoch, θ*_0 … θ*_E, and their checksum."""

    weights: Float[Tensor, "epochs parameters"]
    checksum: str = ""

    @property
    def epochs(self) -> int:
        """E, the number of epochs."""
        return len(self.weights) - 1


@dataclass(frozen=True)
class ExpertTraining:
    """How an expert is trained: plain SGD on the cross-entropy, as in Cazenavette et al. 2022.

    An epoch is a pass through `items` real items; where these are not all, the next one goes on with others.
    """

    epochs: int
    lr: float
    batch: int
    items: int | None = None


def train_expert(
    problem: Problem,
    state: State,
    data: Dataset,
    training: ExpertTraining,
    generator: torch.Generator,
    augment: Augment | None = None,
) -> Float[Tensor, "epochs parameters"]:
    """θ*_0 … θ*_E of the network of a problem, trained on real items from the weights of a state.

    augment(x, generator) changes each batch. The generator draws all that is random.
    """
    problem = replace(problem, rule=SGD(), inner_loss=soft_cross_entropy)
    state = problem.start(problem.weights(state))
    lr = torch.tensor(training.lr, dtype=state[0].dtype, device=state[0].device)
    epochs = draw_epochs(len(data), min(training.items or len(data), len(data)), generator)
    trajectory = [flatten(problem, state)]
    for _ in range(training.epochs):
        for indices in next(epochs).split(training.batch):
            x, y = data.batch(indices.to(data.labels.device))
            x = data.drop_words(x, generator).to(lr.dtype)
            x = x if augment is None else augment(x, generator)
            targets = F.one_hot(y, len(data.classes)).to(lr.dtype)
            with torch.no_grad():
                state = problem.advance(state, Step(x, targets, lr))
        trajectory.append(flatten(problem, state))
    return torch.stack(trajectory)


def draw_epochs(count: int, size: int, generator: torch.Generator) -> Iterator[Int[Tensor, " size"]]:
    """Rows 0 … count - 1 in random order, again and again, each time in another order: `size` at a time."""
    rows = torch.arange(0)
    while True:
        while len(rows) < size:
            rows = torch.cat([rows, torch.randperm(count, generator=generator)])
        yield rows[:size]
        rows = rows[size:]


def flatten(problem: Problem, state: State) -> Float[Tensor, " parameters"]:
    """The weights of a state as one vector on the CPU."""
    return torch.cat([w.detach().flatten() for w in problem.split(state)[0]]).cpu()


def unflatten(vector: Float[Tensor, " parameters"], like: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """The tensors of a vector in the shapes, precision and place of others."""
    parts = vector.split([t.numel() for t in like])
    return tuple(part.view_as(t).to(t) for part, t in zip(parts, like, strict=True))


def compute_checksum(weights: Tensor, facts: dict[str, Any]) -> str:
    """The SHA-256 of a trajectory and of the facts about it (plain values)."""
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    digest.update(weights.contiguous().numpy().tobytes())
    return digest.hexdigest()
