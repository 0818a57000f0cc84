"""The interface of protocols, and the one loop of those that train by an optimiser of torch.optim."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from distill.data.augment.each import Augment
from distill.errors import NetworkError, UserError
from distill.inner import INNER_LOSSES
from distill.inner.dry_run import first_line
from distill.randomness import seed_torch
from distill.registry import load
from distill.sets.distilled import DistilledSet
from distill.sets.public.training import Targets
from distill.student.loop import Optimiser, build_optimiser, build_student
from distill.student.training import Student, Weights

CHECKED_EVERY = 50  # steps between two looks at the loss, each of which waits for a GPU


@runtime_checkable
class TrainingProtocol(Protocol):
    """How a student is trained on a set; its settings are its fields, each with a default."""

    def train(
        self, data: DistilledSet, network: nn.Module, weights: Weights, generator: torch.Generator
    ) -> Student:
        """A student that starts from weights; network and weights are not touched. Raises UserError."""


@dataclass(frozen=True)
class Plan:
    """A training on one set: targets, optimiser, and each step's factor of the optimiser's learning rate.

    Batches are drawn anew in each pass over the items; the last of a pass may be smaller. Before the steps of
    restarts the optimiser forgets its momentum. augment(x, generator) changes each batch of items.
    batches(generator): other pairs of items and targets than these, without end.
    """

    targets: Targets
    optimiser: Optimiser
    factors: Sequence[float]
    batch: int
    restarts: frozenset[int] = frozenset()
    augment: Augment | None = None
    batches: Callable[[torch.Generator], Iterator[tuple[Tensor, Tensor]]] | None = None


class PlannedProtocol(ABC):
    """A protocol that trains by a Plan, which it makes for each set."""

    @abstractmethod
    def plan(self, data: DistilledSet) -> Plan:
        """The training on this set. Raises UserError for a set that the protocol cannot serve."""

    def train(
        self, data: DistilledSet, network: nn.Module, weights: Weights, generator: torch.Generator
    ) -> Student:
        """A student by the plan for the set, in minibatches."""
        plan = self.plan(data)
        student = build_student(data, network, weights).train()
        try:
            with seed_torch(generator):
                run_plan(plan, student, data.items, generator)
        except UserError:
            raise
        except Exception as error:  # whatever layers of a user raise
            raise NetworkError(
                f"the network cannot be trained in batches of {plan.batch} ({first_line(error)})"
            ) from error
        student.zero_grad()
        return student.eval()


@dataclass(frozen=True)
class LongerProtocol(PlannedProtocol):
    """Another protocol, and so many steps more after its end, at its first rate.

    Items that are data still teach the same then; items that are a sequence of steps do not.
    """

    protocol: PlannedProtocol
    more_steps: int

    def plan(self, data: DistilledSet) -> Plan:
        """The plan of the protocol, longer. Raises UserError where the protocol does."""
        plan = self.protocol.plan(data)
        return replace(plan, factors=[*plan.factors, *[1.0] * self.more_steps])


def run_plan(plan: Plan, student: Student, items: Tensor, generator: torch.Generator) -> None:
    """Train the student, one optimiser step per factor. Raises UserError where the loss is not finite."""
    optimiser, loss = build_optimiser(plan.optimiser, student), load(INNER_LOSSES[plan.targets.loss])
    rates, last = [group["lr"] for group in optimiser.param_groups], 1.0
    drawn = draw_batches(items, plan.targets.labels, plan.batch, generator)
    batches = plan.batches(generator) if plan.batches else drawn
    for step, factor in enumerate(plan.factors):
        if step in plan.restarts:
            optimiser.state.clear()
        if factor != last:
            last = factor
            for group, rate in zip(optimiser.param_groups, rates, strict=True):
                group["lr"] = rate * factor
        x, y = next(batches)
        value = loss(student(plan.augment(x, generator) if plan.augment else x), y)
        optimiser.zero_grad()
        value.backward()
        optimiser.step()
        if (step + 1) % CHECKED_EVERY == 0 or step + 1 == len(plan.factors):
            check_finite(value, step + 1)


def check_finite(loss: Tensor, step: int) -> None:
    """Raise UserError for a loss that is not finite."""
    if not loss.isfinite():
        raise UserError(
            f"the loss became {float(loss.detach()):g} by step {step}: give a lower learning rate (lr)"
        )


def draw_batches(
    items: Tensor, targets: Tensor, size: int, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Minibatches without end, in a new order in each pass; one batch of all keeps their order."""
    while len(items) <= size:
        yield items, targets
    while True:
        for rows in torch.randperm(len(items), generator=generator).split(size):
            yield items[rows], targets[rows]
