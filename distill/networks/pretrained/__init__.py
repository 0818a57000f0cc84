"""Pretrained transformers as networks: a frozen body, trained parts, and a head."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

POOLINGS = ("cls", "mean")  # what the head reads


def build_pretrained(name: str, shape: tuple[int, ...], classes: int, **arguments: Any) -> "nn.Module":
    """The network of a pretrained model's name for items (length, dim); its factory draws a new head."""
    from distill.networks.pretrained.network import build

    return build(name, shape, classes, **arguments)
