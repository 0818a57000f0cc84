"""DC and DSA: the gradients of real and of synthetic items of each class, brought together."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from distill.inner.problem import Problem, State, differentiate
from distill.methods.matching.classes import MatchingMethod, Tensors
from distill.registry import option


@dataclass(frozen=True)
class DC(MatchingMethod):
    """DC (Zhao, Mopuri and Bilen 2021, eqs. 9, 10): per class, 1 - cos between the gradients of the weights.

    Of the loss on the real and on the synthetic items of a class, row by row of every tensor with more than
    one axis, and summed. With --augment it is DSA (Zhao and Bilen 2021). The gradient for the real items is
    the same for all updates of a visit.
    """

    updates: int = option(1, "STEPS", above=0, at_most=10**6)
    """How often the items are updated in a visit, by the same gradients of real items."""

    def describe(
        self,
        problem: Problem,
        state: State,
        x: Float[Tensor, "k *item"],
        y: Float[Tensor, "k classes"],
        differentiable: bool,
    ) -> Tensors:
        weights, memory, buffers = problem.split(state)
        weights = tuple(w.detach().requires_grad_() for w in weights)
        with torch.enable_grad():
            loss = problem.inner_loss(problem.logits((*weights, *memory, *buffers), x), y)
            return differentiate(loss, weights, create_graph=differentiable)

    def distance(self, synthetic: Tensors, real: Tensors) -> Float[Tensor, ""]:
        return torch.stack([row_distance(a, b) for a, b in zip(synthetic, real, strict=True)]).sum()


def row_distance(a: Tensor, b: Tensor) -> Float[Tensor, ""]:
    """Σ over rows of 1 - cos; a bias, which has no rows, counts nothing, as does a dead unit's row in b."""
    if a.ndim < 2:
        return a.new_zeros(())
    a, b = a.flatten(1), b.flatten(1)
    return ((1 - F.cosine_similarity(a, b, dim=1, eps=1e-12)) * b.any(dim=1)).sum()
