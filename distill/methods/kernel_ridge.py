"""FRePo: kernel ridge regression on the features of a partly trained network."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from distill.inner.problem import Problem, State, Task
from distill.methods.base import ComparisonMethod, Learnable
from distill.registry import option


@dataclass(frozen=True)
class FRePo(ComparisonMethod):
    """FRePo (Zhou, Nezhadarya and Ba 2022, eq. 5): the squared error on real items of a ridge regression.

    On the features of the synthetic items and a constant, from their labels: with K the inner products,
    ½ |Y - K_ts (K_ss + λ I)⁻¹ L|² per real item, λ = ridge · tr K_ss.
    """

    ridge: float = option(1e-6, "FLOAT", above=0)
    """λ of the ridge regression, as a share of the trace of its kernel."""

    def compare(self, problem: Problem, state: State, synthetic: Learnable, task: Task) -> Float[Tensor, ""]:
        synthetic_features = append_ones(problem.features(state, synthetic.items))
        with torch.no_grad():
            real_features = append_ones(problem.features(state, task.x))
        kernel = synthetic_features @ synthetic_features.T
        identity = torch.eye(len(synthetic_features), device=synthetic_features.device)
        ridge = self.ridge * kernel.diagonal().sum() * identity
        labels = synthetic.targets()
        answers = real_features @ synthetic_features.T @ torch.linalg.solve(kernel + ridge, labels)
        return ((answers - F.one_hot(task.y, labels.shape[1])) ** 2).sum(dim=1).mean() / 2


def append_ones(x: Float[Tensor, "b width"]) -> Float[Tensor, "b width_and_one"]:
    """x with a column of ones."""
    return torch.cat([x, torch.ones_like(x[:, :1])], dim=1)
