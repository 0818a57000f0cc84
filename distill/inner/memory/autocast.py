"""Problems whose outer passes compute with 16 bits (torch.autocast), for large networks and images."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from distill.inner.fused.problem import FusedProblem
from distill.inner.problem import Problem, State


@dataclass(frozen=True)
class AutocastProblem(Problem):
    """A Problem whose outer loss is computed in bfloat16, and so is its gradient.

    What is learned, the inner steps and the value of the loss are in float32. torch chooses the operations:
    convolutions and products of matrices are in bfloat16, norms and losses are not.
    """

    def loss(self, state: State, x: Tensor, y: Tensor) -> Float[Tensor, ""]:
        with outer_precision(self, x):
            return super().loss(state, x, y).float()


@dataclass(frozen=True)
class AutocastFusedProblem(AutocastProblem, FusedProblem):
    """The same with the fused steps and faster kernels of a CPU."""


AUTOCAST: dict[type[Problem], type[Problem]] = {Problem: AutocastProblem, FusedProblem: AutocastFusedProblem}


def outer_precision(problem: Problem, x: Tensor) -> AbstractContextManager[Any]:
    """The context in which real items x pass through the network of a problem.

    Without the cache of weights, which would keep those of each class until the end.
    """
    if not isinstance(problem, AutocastProblem):
        return nullcontext()
    return torch.autocast(x.device.type, torch.bfloat16, cache_enabled=False)
