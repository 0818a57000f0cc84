"""Checks of a set's attention labels."""

from typing import Any

from torch import Tensor

from distill.errors import SetError
from distill.sets.metadata import check_types, is_finite_float32
from distill.sets.plain_types import Positive


def check_attention(attention: Any, items: Tensor, inner: dict[str, Any]) -> None:
    """Raise SetError unless attention labels are shares (n, length), and inner has their weight."""
    if attention is None:
        return
    shape = tuple(getattr(attention, "shape", ()))
    if not is_finite_float32(attention) or items.ndim != 3 or shape != tuple(items.shape[:2]):
        actual = "×".join(map(str, shape)) or f"a {type(attention).__name__}"
        raise SetError(
            f"attention must be finite float32 numbers, a share per position of an item, not {actual}"
        )
    if attention.min() < 0 or (attention.sum(dim=1) - 1).abs().max() > 1e-3:
        raise SetError("attention must hold shares: each row is at least 0 and sums to 1")
    check_types(inner, {"attention_weight": Positive}, "inner")
