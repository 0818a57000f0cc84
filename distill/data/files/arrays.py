"""An .npz file of images and labels, and the checks of such arrays."""

import zipfile
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distill.errors import DataError

NPZ_ARRAYS = ("x_train", "y_train", "x_test", "y_test")
MAX_CLASSES = 100_000  # of an .npz that does not name its classes: a larger label is out of range
DAMAGED = (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, AttributeError, TypeError, KeyError)


class ImageArrays(NamedTuple):
    """Both splits of an image set: images (N, C, H, W), uint8 or float in [0, 1], and labels (N,) long."""

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    classes: tuple[str, ...]


def read_npz(path: Path) -> ImageArrays:
    """An .npz with x_train, y_train, x_test, y_test; optionally classes, their names."""
    arrays = load_arrays(path)
    missing = [name for name in NPZ_ARRAYS if name not in arrays]
    if missing:
        raise DataError(f"{path} lacks {', '.join(missing)}; it holds {', '.join(arrays) or 'nothing'}")
    y, test_y = (to_labels(arrays[k], f"{k} in {path}") for k in ("y_train", "y_test"))
    classes = arrays.get("classes", np.arange(min(int(y.max()) + 1, MAX_CLASSES) if len(y) else 0))
    x, test_x = (to_images(arrays[k], f"{k} in {path}") for k in ("x_train", "x_test"))
    for images, labels, split in ((x, y, "train"), (test_x, test_y, "test")):
        if len(images) != len(labels) or not len(images):
            raise DataError(f"{path} holds {len(images)} {split} images and {len(labels)} {split} labels")
    if x.shape[1:] != test_x.shape[1:]:
        raise DataError(f"{path}: x_train and x_test hold images of different shapes")
    return ImageArrays(x, y, test_x, test_y, tuple(map(str, classes.tolist())))


def load_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz by name, without pickles."""
    try:
        with open(path, "rb") as file, np.load(file, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in arrays.files}
    except DAMAGED:
        raise DataError(f"{path} is damaged or not an .npz file of plain arrays") from None


def to_labels(array: NDArray[Any], where: str) -> Tensor:
    """Class numbers (N,) long. Raises DataError that names where they stand."""
    if array.ndim != 1 or not np.issubdtype(array.dtype, np.integer):
        raise DataError(f"{where} must be a vector of whole numbers, not {array.dtype} {array.shape}")
    return torch.from_numpy(array.astype(np.int64))


def to_images(array: NDArray[Any], where: str) -> Tensor:
    """(N, C, H, W) from (N, H, W), (N, H, W, C) or (N, C, H, W); uint8 stays, floats become float32."""
    if array.dtype != np.uint8 and not np.issubdtype(array.dtype, np.floating):
        raise DataError(f"{where} must hold uint8 or floating-point pixels, not {array.dtype}")
    if array.ndim == 3:
        array = array[:, None]
    if array.ndim != 4:
        raise DataError(f"{where} must be (N, H, W), (N, H, W, C) or (N, C, H, W), not {array.shape}")
    if array.shape[1] not in (1, 3) and array.shape[3] in (1, 3, 4):
        array = array.transpose(0, 3, 1, 2)
    array = np.ascontiguousarray(array)
    if array.dtype == np.uint8:
        return torch.from_numpy(array)
    if not np.isfinite(array).all():
        raise DataError(f"{where} holds NaN or infinite pixels")
    return torch.from_numpy(array.astype(np.float32))
