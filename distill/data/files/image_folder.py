"""A folder of image files, one subfolder per class."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distill.data.files.arrays import ImageArrays
from distill.errors import DataError


def read_image_folder(root: Path, size: int | None) -> ImageArrays:
    """A folder with train/ and test/, or with the classes' subfolders themselves (every fifth is test)."""
    splits = [root / "train", root / "test"]
    if all(p.is_dir() for p in splits):
        (x, y, classes), (test_x, test_y, test_classes) = (read_classes(p, size) for p in splits)
        if classes != test_classes:
            raise DataError(f"{splits[0]} and {splits[1]} have different subfolders: one per class in both")
        if x.shape[1:] != test_x.shape[1:]:
            raise DataError(f"the images of {splits[0]} and {splits[1]} differ in size: give --image-size")
        return ImageArrays(x, y, test_x, test_y, classes)
    x, y, classes = read_classes(root, size)
    test = torch.arange(len(y)) % 5 == 4
    return ImageArrays(x[~test], y[~test], x[test], y[test], classes)


def read_classes(root: Path, size: int | None) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """(images, labels, classes) of all images below root, brought to one size; grey where all are grey."""
    from torchvision.datasets import ImageFolder

    try:
        folder = ImageFolder(str(root))
    except FileNotFoundError:
        raise DataError(
            f"{root} holds no images: expected one subfolder per class with images in it"
        ) from None
    shape = [size, size] if size else None
    images: list[Tensor] = []
    for path, _ in folder.samples:
        images.append(read_image(folder, path, shape))
        shape = shape or list(images[0].shape[1:])
    x = torch.stack(images)
    if bool((x[:, :1] == x).all()):
        x = x[:, :1].contiguous()
    return x, torch.tensor(folder.targets), tuple(folder.classes)


def read_image(folder: Any, path: str, shape: list[int] | None) -> Tensor:
    """One image (3, height, width) of a torchvision ImageFolder, resized and cropped to a shape."""
    from torchvision.transforms.v2 import functional as image

    try:
        pixels: Tensor = image.pil_to_tensor(folder.loader(path))
    except (OSError, SyntaxError):
        raise DataError(f"{path} is not a readable image") from None
    if shape and list(pixels.shape[1:]) != shape:
        pixels = image.center_crop(image.resize(pixels, [max(shape)]), shape)
    return pixels
