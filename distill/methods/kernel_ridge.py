"""FRePo: kernel ridge regression on the features of a partly trained network."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from distill.inner.problem import Problem, State, Task
from distill.outer.synthetic import Synthetic


def kernel_ridge(problem: Problem, state: State, synthetic: Synthetic, task: Task) -> Tensor:
    """FRePo (Zhou, Nezhadarya and Ba 2022, eq. 5): the squared error on real items of a ridge regression.

    On the features of the synthetic items and a constant, from their labels: with K the inner products,
    ½ |Y - K_ts (K_ss + λ I)⁻¹ L|² per real item, λ = 1e-6 tr K_ss.
    """
    ours = with_constant(problem.features(state, synthetic.items))
    with torch.no_grad():
        theirs = with_constant(problem.features(state, task.x))
    kernel = ours @ ours.T
    ridge = 1e-6 * kernel.diagonal().sum() * torch.eye(len(ours), device=ours.device)
    labels = synthetic.targets()
    answers = theirs @ ours.T @ torch.linalg.solve(kernel + ridge, labels)
    return ((answers - F.one_hot(task.y, labels.shape[1])) ** 2).sum(dim=1).mean() / 2


def with_constant(x: Float[Tensor, "b width"]) -> Float[Tensor, "b more"]:
    """x with a column of ones."""
    return torch.cat([x, torch.ones_like(x[:, :1])], dim=1)
