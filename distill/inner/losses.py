"""Losses: plain functions of logits (batch, classes) and targets, each to a scalar."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from distill.inner import INNER_LOSSES
from distill.registry import load

NEWTON_STEPS, LEAST_FACTOR = 8, 0.01  # of the logits' factor at the best temperature
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


def best_temperature_cross_entropy(logits: Logits, labels: Int[Tensor, " batch"]) -> Scalar:
    """The least cross_entropy(logits / T) over temperatures T from 1 to 100 (Guo et al. 2017, section 4.2).

    What is asked of a network is which class is likelier, not how sure it is: where classes are hard to
    tell apart, plain cross-entropy keeps its logits small, and the noise of its first weights then counts for
    more. T is a constant of the gradient, which at the least value is that of the minimum.
    """
    exact = logits.detach().to(torch.promote_types(logits.dtype, torch.float32))
    return F.cross_entropy(best_factor(exact, labels).to(logits) * logits, labels)


def best_factor(logits: Logits, labels: Int[Tensor, " batch"]) -> Scalar:
    """The τ in [0.01, 1] with the least cross_entropy(τ · logits), which is convex in τ, by Newton's method.

    A step goes no further than to four times or a quarter of τ.
    """
    tau, own = logits.new_ones(()), logits.gather(1, labels[:, None])[:, 0]
    for _ in range(NEWTON_STEPS):
        shares = (tau * logits).softmax(dim=1)
        mean = (shares * logits).sum(dim=1)
        curvature = ((shares * logits**2).sum(dim=1) - mean**2).mean()
        target = (tau - (mean - own).mean() / curvature.clamp(min=1e-12)).nan_to_num(LEAST_FACTOR)
        tau = torch.minimum(torch.maximum(target, tau / 4), tau * 4).clamp(LEAST_FACTOR, 1.0)
    return tau


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
