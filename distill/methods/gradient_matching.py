"""DC and DSA: the gradients of real and of synthetic items of each class, brought together."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from distill.inner.problem import Problem, State, Task
from distill.methods.base import owners
from distill.outer.synthetic import Synthetic


def gradient_matching(problem: Problem, state: State, synthetic: Synthetic, task: Task) -> Tensor:
    """DC (Zhao, Mopuri and Bilen 2021, eqs. 9, 10): per class, 1 - cos between the gradients of the weights.

    Of the outer loss on the real items of a class and the inner loss on the synthetic ones, row by row of
    every tensor with more than one axis, and summed. With --augment it is DSA (Zhao and Bilen 2021).
    """
    g = len(problem.names)
    weights = [w.detach().requires_grad_() for w in state[:g]]
    own, labels, total = owners(synthetic), synthetic.targets(), torch.zeros((), device=task.x.device)
    for c in task.y.unique():
        real = problem.loss(tuple(weights), task.x[task.y == c], task.y[task.y == c])
        made = problem.inner_loss(problem.logits(tuple(weights), synthetic.items[own == c]), labels[own == c])
        theirs = torch.autograd.grad(real, weights)
        ours = torch.autograd.grad(made, weights, create_graph=True)
        total = total + sum((angle(a, b) for a, b in zip(ours, theirs, strict=True)), start=total * 0)
    return total


def angle(a: Tensor, b: Tensor) -> Float[Tensor, ""]:
    """Σ over rows of 1 - cos; a bias, which has none, counts nothing, as does a dead unit's row in b."""
    if a.ndim < 2:
        return a.new_zeros(())
    a, b = a.flatten(1), b.flatten(1)
    return ((1 - F.cosine_similarity(a, b, dim=1, eps=1e-12)) * b.any(dim=1)).sum()
