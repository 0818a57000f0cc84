"""Picture files as images of one size and depth, one by one or all in memory."""

import math
from collections.abc import Iterator

import torch
from torch import Tensor

from distill.data.files.limits import check_memory, check_pixels
from distill.data.pictures.image_file import Picture, read_picture
from distill.errors import DataError


def read_pictures(
    pictures: list[tuple[Picture, int]], size: int | None, damaged: list[str] | None
) -> tuple[Tensor, Tensor, Tensor]:
    """(images, labels, places in the list) of picture files, of one size and depth; grey where all are grey.

    damaged: where pictures that cannot be decoded are named and left out; None refuses them.
    """
    shape = find_shape(pictures, size, damaged is not None)
    check_memory(
        3 * len(pictures) * math.prod(shape),
        f"{len(pictures)} images of {shape[0]}×{shape[1]} pixels",
        "give a smaller --image-size, or --keep disk",
    )
    x, kept, is_grey = torch.empty(len(pictures), 3, *shape, dtype=torch.uint8), list[int](), True
    for image, place in decode_pictures([(path, i) for i, (path, _) in enumerate(pictures)], shape, damaged):
        if image.is_floating_point() and not x.is_floating_point():
            x = x.float() / 255
        x[len(kept)] = image / 255 if x.is_floating_point() and not image.is_floating_point() else image
        is_grey = is_grey and bool((image[:1] == image).all())
        kept.append(place)
    if not kept:
        raise DataError(describe_none(pictures))
    x, places = x[: len(kept)], torch.tensor(kept)
    if is_grey:
        x = x[:, :1].contiguous()
    return x, torch.tensor([label for _, label in pictures])[places], places


def describe_none(pictures: list[tuple[Picture, int]]) -> str:
    """The sentence where no picture can be decoded."""
    return f"none of {len(pictures)} pictures can be decoded, the first is {pictures[0][0]}: give others"


def find_shape(pictures: list[tuple[Picture, int]], size: int | None, skip: bool) -> tuple[int, int]:
    """(height, width) of the images: size, or those of the first picture. Raises DataError."""
    if size:
        return (size, size)
    for path, _ in pictures:
        try:
            height, width = read_picture(path).shape[1:]
            return height, width
        except DataError:
            if not skip:
                raise
    raise DataError(describe_none(pictures))


def decode_pictures(
    pictures: list[tuple[Picture, int]], shape: tuple[int, int], damaged: list[str] | None
) -> Iterator[tuple[Tensor, int]]:
    """The pictures (3, *shape) one by one, each with its number; those that are damaged are named there.

    Raises DataError for the first of them where damaged is None.
    """
    for path, number in pictures:
        try:
            image = fit(path, read_picture(path), shape)
        except DataError:
            if damaged is None:
                raise
            damaged.append(str(path))
            continue
        yield image, number


def describe_damaged(paths: list[str]) -> tuple[str, ...]:
    """A sentence on the pictures that were left out; none where none were."""
    return (f"{len(paths):,} pictures are damaged and left out, the first is {paths[0]}",) if paths else ()


def fit(path: Picture, pixels: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A picture (3, height, width), resized and cropped to a shape. Raises DataError."""
    if tuple(pixels.shape[1:]) == shape:
        return pixels
    from torchvision.transforms.v2 import functional as image

    short, long = sorted(pixels.shape[1:])
    check_pixels(path, max(shape), max(shape) * long // short)
    resized: Tensor = image.center_crop(image.resize(pixels, [max(shape)]), list(shape))
    return resized
