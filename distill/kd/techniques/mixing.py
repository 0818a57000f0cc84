"""Mixup and label smoothing: what a stage changes in its batches."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from distill.student.loop import Batch


def smooth_labels(y: Tensor, classes: int, share: float) -> Tensor:
    """(1 - share) · one-hot + share / classes (Szegedy et al. 2016, section 7).

    Where we differ: soft labels are smoothed alike.
    """
    soft = y if y.is_floating_point() else F.one_hot(y, classes).float()
    return (1 - share) * soft + share / classes


def mix_batch(batch: Batch, classes: int, alpha: float, generator: torch.Generator) -> Batch:
    """Items in pairs: share · x_i + (1 - share) · x_j, labels alike (Zhang et al. 2018, section 2).

    share is from Beta(alpha, alpha). Where we differ: one share for all pairs of a batch, as in the authors'
    code.
    """
    a, b = (torch._standard_gamma(torch.full((), alpha), generator=generator) for _ in range(2))
    share = float(a / (a + b)) if a + b > 0 else 1.0
    order = torch.randperm(len(batch.x), generator=generator)
    parts = {"x": batch.x, "y": smooth_labels(batch.y, classes, 0.0), "plain": batch.plain}
    mixed: dict[str, Any] = {
        name: share * part + (1 - share) * part[order] for name, part in parts.items() if part is not None
    }
    return batch._replace(**mixed)
