"""Real data sets as tensors: images, texts and their vectors, and what changes or summarises them.

May import nothing of the other rooms.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distill.data.images import load as load


AUGMENTATIONS = ("shift", "scale", "rotate", "flip", "crop", "cutout", "color")


def __getattr__(name: str) -> Any:
    if name != "load":
        raise AttributeError(f"module 'distill.data' has no attribute {name!r}")
    return import_module("distill.data.images").load
