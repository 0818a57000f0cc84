"""Losses: plain functions of logits (batch, classes) and targets, each to a scalar."""

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor


def soft_cross_entropy(
    logits: Float[Tensor, "batch classes"], targets: Float[Tensor, "batch classes"]
) -> Float[Tensor, ""]:
    """Mean over the batch of -Σ_c targets_c · log softmax(logits)_c.

    The targets are used as they are: they may be signed and need not sum to one
    (Sucholutsky and Schonlau 2019, section 3.1). One-hot targets give cross_entropy.
    """
    return -(targets * F.log_softmax(logits, dim=1)).sum(dim=1).mean()


def squared_error(
    logits: Float[Tensor, "batch classes"], targets: Float[Tensor, "batch classes"]
) -> Float[Tensor, ""]:
    """Mean over the batch of Σ_c (logits_c - targets_c)² / 2."""
    return ((logits - targets) ** 2).sum(dim=1).mean() / 2


def cross_entropy(logits: Float[Tensor, "batch classes"], labels: Int[Tensor, " batch"]) -> Float[Tensor, ""]:
    """Mean over the batch of -log softmax(logits)_label: the outer loss on real data."""
    return F.cross_entropy(logits, labels)


INNER = {"soft-cross-entropy": soft_cross_entropy, "squared-error": squared_error}


def name_of(loss: Callable[..., Any]) -> str:
    """What an exported file calls an inner loss: its word in INNER, or the name of one's own function."""
    own: str = getattr(loss, "__name__", type(loss).__name__)
    return next((word for word, function in INNER.items() if function is loss), own)


Logits = Float[Tensor, "batch classes"]


Scalar = Float[Tensor, ""]


def cross_entropies(logits: Logits, y: Tensor) -> Float[Tensor, " batch"]:
    """-Σ_c y_c · log softmax(logits)_c per item; y holds class numbers, or (batch, classes) soft labels."""
    if not y.is_floating_point():
        return F.cross_entropy(logits, y, reduction="none")
    return -(y * F.log_softmax(logits, dim=1)).sum(dim=1)


def hard(logits: Logits, y: Tensor) -> Scalar:
    """The mean cross-entropy to the labels."""
    return cross_entropies(logits, y).mean()
