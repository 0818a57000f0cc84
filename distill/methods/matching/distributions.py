"""DM: the mean features of each class, real and synthetic, brought together."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from distill.inner.problem import Problem, State
from distill.methods.matching.classes import MatchingMethod, Tensors


@dataclass(frozen=True)
class DM(MatchingMethod):
    """DM (Zhao and Bilen 2023, eq. 6): Σ_c |mean features of class c, real - synthetic|².

    With networks that are older than one visit (--max-age) it is matching by trained networks, as in IDM
    (Zhao, Li, Qin and Yu 2023).
    """

    learns_labels = False

    def describe(
        self,
        problem: Problem,
        state: State,
        x: Float[Tensor, "k *item"],
        y: Float[Tensor, "k classes"],
        differentiable: bool,
    ) -> Tensors:
        with torch.set_grad_enabled(differentiable):
            return [problem.features(state, x).mean(dim=0)]

    def distance(self, synthetic: Tensors, real: Tensors) -> Float[Tensor, ""]:
        return ((synthetic[0] - real[0]) ** 2).sum()
