"""Crowd: the inner training of many networks at once by torch.func.vmap, as a GPU wants it."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.func import functional_call

from distill.inner.problem import Problem, State, Task
from distill.inner.step import Step


@dataclass(frozen=True)
class Crowd(Problem):
    """A Problem whose states hold k of every tensor; its gradient is the mean of the k networks'.

    The inner loss is the sum, so that each network follows its own gradient; the outer loss is the mean.
    The network must not choose by its values which operations it does (TextCNN does).
    """

    chunk: int | None = None  # networks at a time, where memory is short

    def answers(self, state: State, x: Tensor, own: int | None) -> Float[Tensor, "k batch classes"]:
        """The k networks' answers to the same x (own=None), or each to its own row of x (own=0)."""

        def one(weights: dict[str, Tensor], x: Tensor) -> Tensor:
            return functional_call(self.network, weights, (x,))

        return torch.vmap(one, (0, own), chunk_size=self.chunk)(self.weights(state), x)

    def inner(self, state: State, step: Step) -> Float[Tensor, ""]:
        return torch.vmap(self.inner_loss, (0, None))(self.answers(state, step.x, None), step.y).sum()

    def loss(
        self, state: State, x: Float[Tensor, "k batch *item"], y: Int[Tensor, "k batch"]
    ) -> Float[Tensor, ""]:
        return torch.vmap(self.outer_loss)(self.answers(state, x, 0), y).mean()

    def uniform_loss(self, y: Int[Tensor, "k batch"], classes: int) -> float:
        return super().uniform_loss(y.flatten(), classes)

    def together(self, tasks: Sequence[Task]) -> Task:
        """The tasks of k networks as one, each with its own real items."""
        g = len(self.names)
        weights = {
            name: torch.stack(own)
            for name, *own in zip(self.names, *(t.state[:g] for t in tasks), strict=True)
        }
        x, y = torch.stack([t.x for t in tasks]), torch.stack([t.y for t in tasks])
        return Task(self.start(weights), x, y, tasks[0].generator)
