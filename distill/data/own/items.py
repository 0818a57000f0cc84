"""Items of a user's own: arrays, frames, tensors, images or lists of them, as one tensor (m, *item)."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distill.data.files.arrays import to_images
from distill.data.own.labels import check_unmasked
from distill.data.pictures.image_file import decode
from distill.errors import DataError

FORMS = "floating-point items (m, *item), or uint8 images (m, height, width), with channels first or last"


def read_items(items: Any) -> Tensor:
    """Items (m, *item) as float32, or as uint8 where they are images (m, channels, height, width).

    Floats are what a network sees, with channels first; uint8 images are pixels, as image files hold them.
    Raises DataError.
    """
    check_unmasked(items, "x")
    is_list = isinstance(items, list | tuple) and any(map(is_item, items[:2]))  # the first may be missing
    if is_list:
        items = stack_items(items)
    if isinstance(items, Tensor):
        return read_tensor(items.detach())
    try:
        array = np.asarray(items)
    except (ValueError, TypeError, RuntimeError):  # lists of unequal lengths
        raise DataError(f"x is a {type(items).__name__} of unequal items: it must hold {FORMS}") from None
    if array.dtype.kind not in "fu" or array.dtype.hasobject:
        kind = f"is {array.dtype}" if array.ndim else f"is a {type(items).__name__}"
        raise DataError(f"x {kind}: give {FORMS}")
    with np.errstate(over="ignore"):
        wide = array.astype(np.float32) if array.dtype.kind == "f" else array
    if array.dtype.kind == "u" and array.dtype != np.uint8:
        raise DataError(f"x is {array.dtype}: give {FORMS}")
    return read_tensor(torch.from_numpy(np.ascontiguousarray(wide)))


def read_tensor(x: Tensor) -> Tensor:
    """Floats as float32, uint8 as images (m, channels, height, width). Raises DataError."""
    if x.layout != torch.strided or x.is_nested or x.is_quantized or x.device.type == "meta":
        raise DataError(f"x is a tensor that is sparse, quantised or without numbers: give {FORMS}")
    if not (x.is_floating_point() or x.dtype == torch.uint8):
        raise DataError(f"x is {x.dtype}: give {FORMS}, of mean 0 and spread 1 or so")
    if x.ndim < 2 or x.numel() == 0:
        raise DataError(f"x of shape {tuple(x.shape)} is not (m, *item)")
    if x.dtype == torch.uint8:
        if x.ndim not in (3, 4):
            raise DataError(f"x is torch.uint8 of shape {tuple(x.shape)}: give {FORMS}")
        return to_images(x.cpu().numpy(), "x").to(x.device)
    x = x.as_subclass(Tensor).float().contiguous()  # as a DataLoader's batches are
    if not x.isfinite().all():
        raise DataError("x holds NaN or infinity: mend or drop those items")
    return x


def stack_items(items: Sequence[Any]) -> Tensor:
    """Tensors, arrays or images as one tensor. Raises DataError where they differ in shape or type."""
    if any(map(is_image, items)):
        items = read_images(items)
    try:
        tensors = [torch.as_tensor(item) for item in items]
    except (ValueError, TypeError, RuntimeError):
        row, item = next((i, item) for i, item in enumerate(items) if not is_item(item))
        raise DataError(f"item {row} is a {type(item).__name__}, which is no array: give {FORMS}") from None
    kinds = {(tuple(t.shape), t.dtype) for t in tensors}
    if len(kinds) > 1:
        (shape, dtype), (other, other_dtype) = list(kinds)[:2]
        raise DataError(
            f"the items differ: one is {dtype} {shape}, another {other_dtype} {other}; bring them to one"
            " size and type, as with torchvision.transforms.Resize"
        )
    return torch.stack(tensors)


def read_images(images: Sequence[Any]) -> Sequence[Tensor]:
    """Images of pillow as uint8 (channels, height, width): one channel where all are grey, else three.

    They are decoded as those of files are, what is transparent on white. Raises DataError for a mode of
    more than eight bits.
    """
    pixels = []
    for row, image in enumerate(images):
        if not is_image(image) or image.mode.startswith(("I", "F")):
            mode = f"has the mode {image.mode}" if is_image(image) else f"is a {type(image).__name__}"
            raise DataError(f"item {row} {mode}: convert all images to RGB or L (eight bits) first")
        pixels.append(decode(Path(f"item {row}"), image))
    are_grey = all(bool((image[:1] == image).all()) for image in pixels)
    return [image[:1] if are_grey else image for image in pixels]


def is_item(value: Any) -> bool:
    """Whether a value is one item: a tensor, an array or an image."""
    return isinstance(value, Tensor | np.ndarray) or is_image(value)


def is_image(value: Any) -> bool:
    """Whether a value is an image of pillow, which need not be imported."""
    return hasattr(value, "mode") and hasattr(value, "convert") and hasattr(value, "getbands")
