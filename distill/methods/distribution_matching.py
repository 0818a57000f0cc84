"""DM: the mean features of each class, real and synthetic, brought together."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from distill.inner.problem import Problem, State, Task
from distill.methods.base import ComparisonMethod, Learnable, item_classes


@dataclass(frozen=True)
class DM(ComparisonMethod):
    """DM (Zhao and Bilen 2023, eq. 6): Σ_c |mean features of class c, real - synthetic|²."""

    needs_every_class = True
    learns_labels = False

    def compare(self, problem: Problem, state: State, synthetic: Learnable, task: Task) -> Float[Tensor, ""]:
        synthetic_features = problem.features(state, synthetic.items)
        with torch.no_grad():
            real_features = problem.features(state, task.x)
        classes = item_classes(synthetic)
        gaps = [
            real_features[task.y == c].mean(dim=0) - synthetic_features[classes == c].mean(dim=0)
            for c in task.y.unique()
        ]
        return torch.stack([(gap**2).sum() for gap in gaps]).sum()
