"""VmappedProblem: the inner training of many networks at once by torch.func.vmap, for a GPU."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from distill.inner.problem import Problem, State, Task
from distill.inner.step import AnyStep
from distill.networks.functional import call_with_weights


@dataclass(frozen=True)
class VmappedProblem(Problem):
    """A Problem whose states hold k of every tensor; its gradient is the mean of the k networks'.

    The inner loss is the sum, so that each network follows its own gradient; the outer loss is the mean.
    The operations of the network must not depend on its values (those of TextCNN do).
    """

    chunk: int | None = None  # networks at a time, where memory is short

    def batched_logits(self, state: State, x: Tensor, x_dim: int | None) -> Float[Tensor, "k batch classes"]:
        """The k networks' logits for the same x (x_dim=None), or each for its row of x (x_dim=0)."""

        def logits(weights: dict[str, Tensor], x: Tensor) -> Tensor:
            return call_with_weights(self.network, weights, x)

        return torch.vmap(logits, (0, x_dim), chunk_size=self.chunk)(self.weights(state), x)

    def step_loss(self, state: State, step: AnyStep) -> Float[Tensor, ""]:
        logits = self.batched_logits(state, step.x, None)
        return torch.vmap(self.inner_loss, (0, None))(logits, step.y).sum()

    def loss(
        self, state: State, x: Float[Tensor, "k batch *item"], y: Int[Tensor, "k batch"]
    ) -> Float[Tensor, ""]:
        return torch.vmap(self.outer_loss)(self.batched_logits(state, x, 0), y).mean()

    def uniform_loss(self, y: Int[Tensor, "k batch"], classes: int) -> float:
        return super().uniform_loss(y.flatten(), classes)

    def stack_tasks(self, tasks: Sequence[Task]) -> Task:
        """The tasks of k networks as one, each with its own real items."""
        named = [self.weights(t.state) for t in tasks]
        weights = {name: torch.stack([each[name] for each in named]) for name in named[0]}
        x, y = torch.stack([t.x for t in tasks]), torch.stack([t.y for t in tasks])
        return Task(self.start(weights), x, y, tasks[0].generator)
