"""Soft labels in words."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


def describe_label(label: "Tensor", classes: Sequence[str], count: int = 3) -> str:
    """'positive 1.20, negative -0.31': the classes of the largest label values, the largest first."""
    top = label.detach().cpu().topk(min(count, len(label)))
    pairs = zip(top.values.tolist(), top.indices.tolist(), strict=True)
    return ", ".join(f"{classes[index]} {value:.2f}" for value, index in pairs)
