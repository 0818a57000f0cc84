"""M3D: distributions of features matched by their maximum mean discrepancy (CONTRIBUTING's example)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from distill.inner.problem import Problem, State
from distill.methods.matching.classes import MatchingMethod, Tensors
from distill.registry import option


@dataclass(frozen=True)
class M3D(MatchingMethod):
    """M3D (Zhang et al. 2024): Σ_c MMD² of the features of class c, real and synthetic, Gaussian kernel.

    MMD²(a, b) = mean k(a, a) + mean k(b, b) - 2 mean k(a, b) with k(x, y) = exp(-|x - y|² / (2 s²)), where s²
    is bandwidth times the mean squared distance (Gretton et al. 2012, eq. 5).
    """

    bandwidth: float = option(1.0, "FACTOR", above=0)
    """Width of the Gaussian kernel, as a multiple of the mean squared distance."""

    def describe(self, problem: Problem, state: State, x: Tensor, y: Tensor, differentiable: bool) -> Tensors:
        with torch.set_grad_enabled(differentiable):
            return [problem.features(state, x)]

    def distance(self, synthetic: Tensors, real: Tensors) -> Tensor:
        a, b = real[0], synthetic[0]
        distances = [((x[:, None] - y[None]) ** 2).sum(dim=2) for x, y in ((a, a), (b, b), (a, b))]
        scale = self.bandwidth * distances[2].mean().detach().clamp(min=1e-12)
        within_a, within_b, between = ((-d / (2 * scale)).exp().mean() for d in distances)
        return within_a + within_b - 2 * between
