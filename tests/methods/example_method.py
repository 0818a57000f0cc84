"""M3D: distributions of features matched by their maximum mean discrepancy (CONTRIBUTING's example)."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from distill.inner.problem import Problem, State, Task
from distill.methods.base import ComparisonMethod, Learnable, item_classes
from distill.registry import option


@dataclass(frozen=True)
class M3D(ComparisonMethod):
    """M3D (Zhang et al. 2024): Σ_c MMD² of the features of class c, real and synthetic, Gaussian kernel.

    MMD²(a, b) = mean k(a, a) + mean k(b, b) - 2 mean k(a, b) with k(x, y) = exp(-|x - y|² / (2 s²)), where s²
    is bandwidth times the mean squared distance (Gretton et al. 2012, eq. 5).
    """

    needs_every_class = True

    bandwidth: float = option(1.0, "FACTOR", above=0)
    """Width of the Gaussian kernel, as a multiple of the mean squared distance."""

    def compare(self, problem: Problem, state: State, synthetic: Learnable, task: Task) -> Float[Tensor, ""]:
        synthetic_features = problem.features(state, synthetic.items)
        with torch.no_grad():
            real_features = problem.features(state, task.x)
        classes = item_classes(synthetic)
        pairs = [(real_features[task.y == c], synthetic_features[classes == c]) for c in task.y.unique()]
        return torch.stack([self.discrepancy(a, b) for a, b in pairs]).sum()

    def discrepancy(self, a: Float[Tensor, "m f"], b: Float[Tensor, "n f"]) -> Float[Tensor, ""]:
        distances = [((x[:, None] - y[None]) ** 2).sum(dim=2) for x, y in ((a, a), (b, b), (a, b))]
        scale = self.bandwidth * distances[2].mean().detach().clamp(min=1e-12)
        within_a, within_b, between = ((-d / (2 * scale)).exp().mean() for d in distances)
        return within_a + within_b - 2 * between
