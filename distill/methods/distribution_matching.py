"""DM: the mean features of each class, real and synthetic, brought together."""

import torch
from torch import Tensor

from distill.inner.problem import Problem, State, Task
from distill.methods.base import owners
from distill.outer.synthetic import Synthetic


def distribution_matching(problem: Problem, state: State, synthetic: Synthetic, task: Task) -> Tensor:
    """DM (Zhao and Bilen 2023, eq. 6): Σ_c |mean features of class c, real - synthetic|²."""
    ours = problem.features(state, synthetic.items)
    with torch.no_grad():
        theirs = problem.features(state, task.x)
    own = owners(synthetic)
    gaps = [theirs[task.y == c].mean(dim=0) - ours[own == c].mean(dim=0) for c in task.y.unique()]
    return torch.stack([(gap**2).sum() for gap in gaps]).sum()
