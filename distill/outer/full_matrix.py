"""GGT: an update rule preconditioned by the full matrix of a group's last gradients."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from distill.inner.rules import Adam, Tensors

WINDOW = 60  # gradients
SAVE_EVERY = 25  # steps between saved states: 100 are a fifth of a quick run, which is lost if it falls
LARGEST_JUMP = 1.4  # of the loss over its mean
SMALLEST = 1e-9  # eigenvalue, as a share of the largest, that is more than rounding


@dataclass(frozen=True)
class GGT:
    """w ← w - lr · a · u / ‖u‖ with u = (G Gᵀ)^(-1/2) m in the span of G (Agarwal et al. 2019, algorithm 1).

    G are the last gradients of a weight as columns, the k-th last one times decay^(k / 2), m is Adam's first
    moment, and ‖a‖ the length of Adam's step (grafting: Agarwal et al. 2020). The paper keeps m's part
    outside of the span, over a small constant; here it is left out, and singular values are damped by a
    share of the largest. Outer gradients are few, long, and almost the same from step to step along a few
    directions, across all pixels: no diagonal shows these. Costs window² · d operations per step and
    window · d numbers of memory, with which Adam's begins.
    """

    adam: Adam = field(default_factory=Adam)
    window: int = WINDOW
    decay: float = 0.95
    damping: float = 0.01

    def start(self, weights: Sequence[Tensor]) -> Tensors:
        return (*self.adam.start(weights), *(w.new_zeros(self.window, w.numel()) for w in weights))

    def update(
        self, weights: Sequence[Tensor], memory: Tensors, gradients: Sequence[Tensor], lrs: Sequence[Tensor]
    ) -> tuple[Tensors, Tensors]:
        n = len(weights)
        moments, windows = memory[: 2 * n + 1], memory[2 * n + 1 :]
        units = [torch.ones_like(lr) for lr in lrs]
        by_adam, moments = self.adam.update(weights, moments, gradients, units)
        windows = tuple(
            torch.cat([window[1:], g.reshape(1, -1)]) for window, g in zip(windows, gradients, strict=True)
        )
        steps = [
            graft(self.precondition(m.flatten(), window).view_as(w), w - after)
            for w, after, m, window in zip(weights, by_adam, moments, windows, strict=False)
        ]
        moved = tuple(w - lr * step for w, lr, step in zip(weights, lrs, steps, strict=True))
        return moved, (*moments, *windows)

    def precondition(self, m: Float[Tensor, " d"], window: Float[Tensor, "window d"]) -> Float[Tensor, " d"]:
        """u of a window whose rows are the gradients, the last one below; rows of zeros count for nothing."""
        ages = torch.arange(self.window - 1, -1, -1, device=m.device)
        rows = window * self.decay ** (ages.to(m.dtype) / 2).unsqueeze(1)
        values, vectors = torch.linalg.eigh((rows @ rows.T).double())
        large = values > SMALLEST * values[-1]
        sizes, largest = values[large].sqrt().to(m.dtype), values[-1].clamp_min(0).sqrt().to(m.dtype)
        directions = vectors[:, large].to(m.dtype).T @ rows / sizes.unsqueeze(1)  # orthonormal
        return (directions @ m / (sizes + self.damping * largest)) @ directions


def graft(direction: Tensor, step: Tensor) -> Tensor:
    """A direction with the length of a step; zeros stay zeros."""
    return direction * (step.norm() / direction.norm().clamp_min(torch.finfo(step.dtype).tiny))


def outer_settings(same_weights: bool) -> dict[str, Any]:
    """The fields of an OuterOptimizer by this rule; same_weights: those of the networks in all steps."""
    return {
        "window": WINDOW,
        "save_every": SAVE_EVERY,
        "largest_jump": LARGEST_JUMP if same_weights else None,
    }
