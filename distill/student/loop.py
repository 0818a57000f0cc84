"""The one loop of ordinary training: on each batch, each turn's learner takes an optimiser step on its loss.

A scheme of knowledge distillation is no more than a list of turns: a student that learns from a frozen
teacher is one turn, mutual learning is two.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from distill.data.augment import Augment
from distill.errors import UserError
from distill.inner.losses import cross_entropy_with_any_labels
from distill.student.training import Data, Student, Weights

Optimiser = Callable[[Iterable[Tensor]], torch.optim.Optimizer]


class Batch(NamedTuple):
    """x (b, *item), y (b,) or (b, classes), which items they are, the share of the training that is done."""

    x: Tensor
    y: Tensor
    indices: Tensor
    done: float
    plain: Tensor | None = None  # x before it was changed
    target: Tensor | None = None  # unlabelled items of another domain


Loss = Callable[[Batch], Tensor]


@dataclass(frozen=True)
class Turn:
    """One step of one optimiser on a loss whose graph holds no other learner."""

    optimiser: torch.optim.Optimizer
    loss: Loss
    name: str = "the network"


class Record(NamedTuple):
    """The step, from 1, and each turn's loss before it."""

    step: int
    losses: tuple[float, ...]


def teach(turns: Sequence[Turn], batches: Iterable[Batch], total: int) -> Iterator[Record]:
    """One record per batch; each learner's rate falls linearly to zero over `total` batches.

    Raises UserError where a loss is not finite.
    """
    decays = [
        torch.optim.lr_scheduler.LambdaLR(turn.optimiser, lambda step: 1 - step / total) for turn in turns
    ]
    for step, batch in enumerate(batches, 1):
        losses = []
        for turn, decay in zip(turns, decays, strict=True):
            turn.optimiser.zero_grad()
            loss = turn.loss(batch)
            if not torch.isfinite(loss):
                raise UserError(f"the loss of {turn.name} became {loss:g} at step {step}: lower its lr")
            loss.backward()
            turn.optimiser.step()
            decay.step()
            losses.append(float(loss.detach()))
        yield Record(step, tuple(losses))


def optimisers() -> dict[str, Callable[..., torch.optim.Optimizer]]:
    """Those of torch.optim by name."""
    return {k: v for k, v in vars(torch.optim).items() if isinstance(v, type) and k != "Optimizer"}


def count(data: Data, batch: int, epochs: int) -> int:
    """How many batches that is."""
    return epochs * -(-len(data) // batch)


def batches(
    data: Data, batch: int, epochs: int, generator: torch.Generator, augment: Augment | None = None
) -> Iterator[Batch]:
    """Minibatches, drawn anew each epoch; augment(x, generator) changes each."""
    total, step = count(data, batch, epochs), 0
    for _ in range(epochs):
        for indices in torch.randperm(len(data), generator=generator).split(batch):
            x, y = data.batch(indices)
            yield Batch(augment(x, generator) if augment else x, y, indices, step / total, plain=x)
            step += 1


def live(weights: Mapping[str, Tensor]) -> Weights:
    """Copies that an optimiser can move."""
    return {name: w.detach().clone().requires_grad_(w.is_floating_point()) for name, w in weights.items()}


def ordinary(
    data: Data,
    network: nn.Module,
    weights: Weights,
    optimiser: Optimiser,
    epochs: int,
    batch: int,
    generator: torch.Generator,
    augment: Augment | None = None,
) -> Student:
    """A student trained with minibatches and any torch.optim optimiser, its rate falling to zero.

    Class numbers take the cross-entropy, soft labels the soft one. augment(x, generator) changes each batch.
    """
    moved = live(weights)
    turn = Turn(
        optimiser(moved.values()),
        lambda b: cross_entropy_with_any_labels(functional_call(network, moved, (b.x,)), b.y),
    )
    for _ in teach([turn], batches(data, batch, epochs, generator, augment), count(data, batch, epochs)):
        pass
    return Student(network, {name: w.detach() for name, w in moved.items()})
