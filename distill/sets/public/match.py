"""What a public file holds, brought to the form of the real data that it was made from: images and labels."""

import math
import os
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from distill.data.dataset import Dataset
from distill.errors import SetError
from distill.sets.formats.base import PublicSet

LARGEST_NORMALISED = 20  # pixels of 8 bits that are divided by 255 and by a std of 0.05 or more reach this


class Images(NamedTuple):
    """Images (n, channels, height, width); white: 1 or 255 where they are pixels, None where normalised."""

    items: Tensor
    white: float | None
    remarks: tuple[str, ...] = ()


def match_images(public: PublicSet, train: Dataset, path: str | os.PathLike[str], zca: bool) -> Images:
    """The file's images with their axes as the real ones have them. Raises SetError where they do not fit."""
    items, remarks = order_axes(public.items, train.shape)
    if items.ndim != 4 or items.numel() == 0 or not (items.is_floating_point() or public.unscaled):
        raise SetError(f"{path} holds data {list(items.shape)}, not images (n, channels, height, width)")
    if tuple(items.shape[1:]) != train.shape:
        raise SetError(
            f"{path} holds images {tuple(items.shape[1:])}, {train.name} has {train.shape}: give the"
            " --dataset that it was made from"
        )
    if not (public.unscaled or items.isfinite().all()):
        return Images(items.float(), None, remarks)  # DistilledSet refuses them
    white = find_white(items, path)
    if zca and white is not None:
        raise SetError(
            f"{path} holds pixels of 0 … {white:g}, not whitened images: leave out --zca, or give the"
            " whitened images"
        )
    if zca:
        return Images(items.float(), None, remarks)
    return Images(items.float(), white, (*remarks, *describe_values(items, white, public.has_zca)))


def describe_values(items: Tensor, white: float | None, has_zca: bool) -> tuple[str, ...]:
    """Remarks on how images are scaled, as their file does not say it."""
    if white is not None:
        if white == 1 and not items.is_floating_point():
            remark = "its images are whole numbers of 0 … 1, of which 1 is taken as white"
            return (f"{remark}; they are normalised here",)
        return (f"its images are pixels of 0 … {white:g}, which are normalised here",)
    low, high = float(items.min()), float(items.max())
    remark = f"its images are normalised already, by their values {low:.3g} … {high:.3g}"
    if low >= -1 and high <= 1:
        remark += (
            "; if they are pixels that were scaled to -1 … 1, save (x + 1) / 2, which is normalised here"
        )
    hint = "give --zca where it was made with --zca: the file does not say whether its images are whitened"
    return (remark, hint) if has_zca else (remark,)


def order_axes(items: Tensor, shape: Sequence[int]) -> tuple[Tensor, tuple[str, ...]]:
    """Items that are flat, grey or have their channels last as (n, channels, height, width); and remarks."""
    channels, height, width = shape if len(shape) == 3 else (0, 0, 0)
    if items.ndim == 2 and items.shape[1] == math.prod(shape):
        return items.view(len(items), *shape), ()
    if items.shape[1:] == (height, width) and channels == 1:
        return items[:, None], ()
    if items.shape[1:] == (height, width, channels) and items.shape[1:] != tuple(shape):
        return items.movedim(-1, 1).contiguous(), ("its images have their channels last",)
    return items, ()


def find_white(items: Tensor, path: str | os.PathLike[str]) -> float | None:
    """1 or 255 where images are pixels from 0 to that, None where they are normalised. Raises SetError."""
    low, high = float(items.min()), float(items.max())
    if items.is_floating_point() and low < 0:
        return None
    if low >= 0 and high <= 1:
        return 1.0
    if low >= 0 and high <= 255 and (high > LARGEST_NORMALISED or not items.is_floating_point()):
        return 255.0
    raise SetError(
        f"{path} holds images of values {low:g} … {high:g}: pixels are in 0 … 1 or 0 … 255, and normalised"
        " images have negative values"
    )


def match_labels(public: PublicSet, train: Dataset, path: str | os.PathLike[str]) -> Tensor:
    """The file's labels, numbered as the real classes. Raises SetError where they do not go with them."""
    n, classes = len(public.items), len(train.classes)
    labels = public.labels
    if labels is None:
        if n % classes:
            raise SetError(
                f"{path} holds no labels, and {n} images are not as many of each of {classes} classes"
            )
        return torch.arange(n) // (n // classes)
    if labels.shape[:1] != (n,):
        raise SetError(f"{path} holds labels {list(labels.shape)} for {n} images: one each")
    if labels.is_floating_point():
        if labels.shape[1:] != (classes,):
            raise SetError(f"{path} holds labels {list(labels.shape)}, {train.name} has {classes} classes")
        return labels
    if labels.ndim != 1:
        raise SetError(f"{path} holds labels {list(labels.shape)}: class numbers are {n} in a row")
    if public.class_names:
        labels = match_names(public.class_names, train, path)[labels]
    if len(outside := labels[(labels < 0) | (labels >= classes)]):
        raise SetError(
            f"{path} holds the label {int(outside[0])}: the {classes} classes of {train.name} are 0 …"
            f" {classes - 1}"
        )
    return labels


def match_names(names: Sequence[str], train: Dataset, path: str | os.PathLike[str]) -> Tensor:
    """The real class (len(names),) of each name: of the same name, or of the number that it begins with.

    Raises SetError.
    """
    if set(names) <= set(train.classes):
        return torch.tensor([train.classes.index(name) for name in names])
    numbers = [name.partition("_")[0] for name in names]
    if all(number.isdecimal() and len(number) < 10 for number in numbers) and len(set(numbers)) == len(names):
        return torch.tensor([int(number) for number in numbers])
    stranger = next(name for name in names if name not in train.classes)
    raise SetError(
        f"{path} holds the class {stranger[:40]!r}, which {train.name} does not have: give classes the names"
        f" of its classes ({', '.join(train.classes)[:80]}), or their numbers from 0"
    )
