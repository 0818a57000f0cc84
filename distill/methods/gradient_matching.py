"""DC and DSA: the gradients of real and of synthetic items of each class, brought together."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from distill.inner.problem import Problem, State, Task, differentiate
from distill.methods.base import ComparisonMethod, Learnable, item_classes


@dataclass(frozen=True)
class DC(ComparisonMethod):
    """DC (Zhao, Mopuri and Bilen 2021, eqs. 9, 10): per class, 1 - cos between the gradients of the weights.

    Of the outer loss on the real items of a class and the inner loss on the synthetic ones, row by row of
    every tensor with more than one axis, and summed. With --augment it is DSA (Zhao and Bilen 2021).
    """

    needs_every_class = True

    def compare(self, problem: Problem, state: State, synthetic: Learnable, task: Task) -> Float[Tensor, ""]:
        weights, memory, buffers = problem.split(state)
        weights = tuple(w.detach().requires_grad_() for w in weights)
        state = (*weights, *memory, *buffers)
        classes, labels = item_classes(synthetic), synthetic.targets()
        total = torch.zeros((), device=task.x.device)
        for c in task.y.unique():
            real, items = task.y == c, classes == c
            real_loss = problem.loss(state, task.x[real], task.y[real])
            synthetic_loss = problem.inner_loss(problem.logits(state, synthetic.items[items]), labels[items])
            real_gradient = differentiate(real_loss, weights)
            synthetic_gradient = differentiate(synthetic_loss, weights, create_graph=True)
            pairs = zip(synthetic_gradient, real_gradient, strict=True)
            total = total + sum((row_distance(a, b) for a, b in pairs), start=total * 0)
        return total


def row_distance(a: Tensor, b: Tensor) -> Float[Tensor, ""]:
    """Σ over rows of 1 - cos; a bias, which has no rows, counts nothing, as does a dead unit's row in b."""
    if a.ndim < 2:
        return a.new_zeros(())
    a, b = a.flatten(1), b.flatten(1)
    return ((1 - F.cosine_similarity(a, b, dim=1, eps=1e-12)) * b.any(dim=1)).sum()
