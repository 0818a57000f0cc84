"""Losses: plain functions of logits (batch, classes) and targets, each to a scalar."""

from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from distill.inner import INNER_LOSSES
from distill.registry import load

Logits = Float[Tensor, "batch classes"]
Scalar = Float[Tensor, ""]


def soft_cross_entropy(logits: Logits, targets: Float[Tensor, "batch classes"]) -> Scalar:
    """Mean over the batch of -Σ_c targets_c · log softmax(logits)_c.

    The targets are used as they are: they may be signed and need not sum to one
    (Sucholutsky and Schonlau 2019, section 3.1). One-hot targets give cross_entropy.
    """
    return -(targets * F.log_softmax(logits, dim=1)).sum(dim=1).mean()


def squared_error(logits: Logits, targets: Float[Tensor, "batch classes"]) -> Scalar:
    """Mean over the batch of Σ_c (logits_c - targets_c)² / 2."""
    return ((logits - targets) ** 2).sum(dim=1).mean() / 2


def cross_entropy(logits: Logits, labels: Int[Tensor, " batch"]) -> Scalar:
    """Mean over the batch of -log softmax(logits)_label: the outer loss on real data."""
    return F.cross_entropy(logits, labels)


def cross_entropies(logits: Logits, y: Tensor) -> Float[Tensor, " batch"]:
    """-Σ_c y_c · log softmax(logits)_c per item; y holds class numbers, or (batch, classes) soft labels."""
    if not y.is_floating_point():
        return F.cross_entropy(logits, y, reduction="none")
    return -(y * F.log_softmax(logits, dim=1)).sum(dim=1)


def cross_entropy_with_any_labels(logits: Logits, y: Tensor) -> Scalar:
    """The mean of cross_entropies(): y holds class numbers, or (batch, classes) soft labels."""
    return cross_entropies(logits, y).mean()


def loss_name(loss: Callable[..., Any]) -> str:
    """How a set's file names an inner loss: its word in INNER_LOSSES, or the name of a user's function."""
    name: str = getattr(loss, "__name__", type(loss).__name__)
    return next((word for word, entry in INNER_LOSSES.items() if load(entry) is loss), name)
