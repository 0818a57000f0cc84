"""The inner losses of a fused network, by hand: the gradient of the logits, and its derivative.

Logits z and targets y are (batch, classes). `gradient` answers delta = d loss / d z; `tangent`, for a
direction R{z}, R{delta} and the gradient of y of the sum of delta · R{z}.
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from distill.inner.losses import soft_cross_entropy, squared_error


class LossGradient(NamedTuple):
    """The derivatives of an inner loss."""

    gradient: Callable[[Tensor, Tensor], Tensor]
    tangent: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]


def cross_entropy_gradient(z: Tensor, y: Tensor) -> Tensor:
    """(p · Σ y - y) / batch with p = softmax(z)."""
    return (z.softmax(1) * y.sum(1, keepdim=True) - y) / z.shape[0]


def cross_entropy_tangent(z: Tensor, y: Tensor, r_z: Tensor) -> tuple[Tensor, Tensor]:
    """p · (R{z} - p · R{z}) · Σ y / batch, and (p · R{z} - R{z}) / batch."""
    p, r_z = z.softmax(1), r_z / z.shape[0]
    centred = r_z - (p * r_z).sum(1, keepdim=True)
    return p * centred * y.sum(1, keepdim=True), -centred


def squared_error_gradient(z: Tensor, y: Tensor) -> Tensor:
    """(z - y) / batch."""
    return (z - y) / z.shape[0]


def squared_error_tangent(z: Tensor, y: Tensor, r_z: Tensor) -> tuple[Tensor, Tensor]:
    """R{z} / batch, and its negative."""
    r_z = r_z / z.shape[0]
    return r_z, -r_z


LOSSES: dict[Callable[..., Tensor], LossGradient] = {
    soft_cross_entropy: LossGradient(cross_entropy_gradient, cross_entropy_tangent),
    squared_error: LossGradient(squared_error_gradient, squared_error_tangent),
}
