"""An .npz file of images and labels, and the checks of such arrays."""

import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.lib import format as npy
from numpy.typing import NDArray
from torch import Tensor

from distill.data.files.labels import encode_labels
from distill.data.files.limits import check_growth, check_regular
from distill.data.own.labels import Labels, match_names, read_labels
from distill.errors import DataError

NPZ_ARRAYS = ("x_train", "y_train", "x_test", "y_test")
HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
TOLERANCE = 1e-3  # how far floating-point pixels may lie outside 0 … 1
MAX_RATIO = 100  # between the largest pixels of the two splits
Arrays = dict[str, NDArray[Any]]


class ImageArrays(NamedTuple):
    """Both splits of an image set: images (N, C, H, W), uint8 or float in [0, 1], and labels (N,) long.

    remarks: sentences on what was read otherwise than it may look.
    """

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    classes: tuple[str, ...]
    remarks: tuple[str, ...] = ()


def read_npz(path: Path) -> ImageArrays:
    """An .npz with x_train, y_train, x_test, y_test; optionally classes, their names. Raises DataError."""
    check_regular(path)
    arrays = load_arrays(path, NPZ_ARRAYS, ("classes",))
    x, test_x = (to_images(arrays[k], f"{k} in {path}") for k in ("x_train", "x_test"))
    for images, split in ((x, "train"), (test_x, "test")):
        count = len(np.atleast_1d(arrays[f"y_{split}"]))
        if len(images) != count or not count:
            raise DataError(f"{path} holds {len(images)} {split} images and {count} {split} labels")
    y, test_y = (to_labels(arrays[k], f"{k} in {path}") for k in ("y_train", "y_test"))
    check_same_images(path, x, test_x)
    numbers, test_numbers, classes, remarks = name_classes(path, y, test_y, arrays.get("classes"))
    return ImageArrays(x, numbers, test_x, test_numbers, classes, remarks)


def load_arrays(path: Path, required: Sequence[str], optional: Sequence[str] = ()) -> Arrays:
    """Arrays of an .npz by name, without pickles; their sizes are asked first. Raises DataError."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            missing = [name for name in required if name not in members]
            wanted = [members[name] for name in (*required, *optional) if name in members]
            is_whole = all(has_stated_size(archive, info) for info in wanted)
    except DataError as error:
        raise DataError(f"{path} is damaged or not an .npz file of plain arrays: {error}") from None
    except Exception:  # zipfile and numpy pass on whatever a foreign byte makes them raise
        is_whole, missing, wanted = False, [], []
    if not is_whole:
        raise DataError(f"{path} is damaged or not an .npz file of plain arrays")
    if missing:
        raise DataError(f"{path} lacks {', '.join(missing)}; it holds {', '.join(members)[:80] or 'nothing'}")
    check_growth(path, sum(info.file_size for info in wanted))
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {info.filename.removesuffix(".npy"): arrays[info.filename] for info in wanted}
    except MemoryError:
        raise DataError(f"{path} does not fit into the memory: save fewer or smaller items") from None
    except Exception:  # as above
        raise DataError(f"{path} is damaged or not an .npz file of plain arrays") from None


def has_stated_size(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> bool:
    """Whether a member is as long as its header says, so that what is read is bounded by the file.

    Raises DataError for one of Python's objects, as columns of pandas are saved.
    """
    with archive.open(info) as file:
        shape, _, dtype = HEADERS[npy.read_magic(file)](file)
        if dtype.hasobject:
            name = info.filename.removesuffix(".npy")
            raise DataError(
                f"{name} holds Python objects; save words by {name}.astype(str), else one array of numbers"
            )
        return math.prod(shape) * dtype.itemsize == info.file_size - file.tell()


def to_labels(array: NDArray[Any], where: str) -> Labels:
    """Labels in any of the forms that read_labels() knows. Raises DataError that names where they stand."""
    try:
        return read_labels(array)
    except DataError as error:
        raise DataError(f"{where}: {error}") from None


def name_classes(
    path: Path, train: Labels, test: Labels, names: NDArray[Any] | None
) -> tuple[Tensor, Tensor, tuple[str, ...], tuple[str, ...]]:
    """(train labels, test labels, classes, remarks). Words are found by name, all else counts from 0.

    Raises DataError where one split has words and the other has not.
    """
    if train.are_words != test.are_words:
        raise DataError(f"{path}: the labels of one split are words, of the other numbers: save both alike")
    if names is None and train.names is None:
        return name_numbers(path, train.numbers, test.numbers)
    classes = train.names or () if names is None else read_names(path, names)
    y, test_y = (find_classes(v, classes, f"{path}: y_{s}") for v, s in ((train, "train"), (test, "test")))
    return y, test_y, classes, ()


def find_classes(labels: Labels, classes: tuple[str, ...], where: str) -> Tensor:
    """Labels as numbers of these classes: words by name, all else as it is. Raises DataError."""
    if not labels.are_words:
        return labels.numbers
    try:
        return match_names(labels, classes)
    except DataError as error:
        raise DataError(f"{where}{str(error).removeprefix('y')}") from None


def name_numbers(
    path: Path, y: Tensor, test_y: Tensor
) -> tuple[Tensor, Tensor, tuple[str, ...], tuple[str, ...]]:
    """The same of class numbers without names; those with gaps are numbered anew, by their names."""
    values = y.unique().tolist()
    if values[0] < 0 or values == list(range(len(values))):
        return y, test_y, tuple(map(str, range(len(values)))), ()
    words, test_words = ([str(v) for v in labels.tolist()] for labels in (y, test_y))
    classes, codes = encode_labels(words, test_words, f"y_train in {path}", f"y_test in {path}")
    shown = ", ".join(classes[:5]) + (" …" if len(classes) > 5 else "")
    remark = f"{path}: the labels are not 0, 1, 2 …; the {len(classes)} classes are called {shown}"
    return torch.tensor(codes[0]), torch.tensor(codes[1]), classes, (remark,)


def read_names(path: Path, names: NDArray[Any]) -> tuple[str, ...]:
    """The names of the classes. Raises DataError where they are not a list of words or numbers."""
    if names.ndim != 1 or names.dtype.kind not in "USiu":
        raise DataError(f"classes in {path} must be a list of names, not {names.dtype} {names.shape}")
    if names.dtype.kind == "S":
        names = np.char.decode(names, "utf-8", "replace")
    return tuple(map(str, names.tolist()))


def to_images(array: NDArray[Any], where: str) -> Tensor:
    """(N, C, H, W) from (N, H, W), (N, H, W, C) or (N, C, H, W); uint8 stays, floats become float32.

    Raises DataError.
    """
    if array.dtype != np.uint8 and not np.issubdtype(array.dtype, np.floating):
        raise DataError(
            f"{where} must hold uint8 or floating-point pixels, not {array.dtype}: save .astype('uint8') of"
            " 0 … 255, or floats in 0 … 1"
        )
    if array.ndim == 3:
        array = array[:, None]
    if array.ndim != 4:
        raise DataError(f"{where} must be (N, H, W), (N, H, W, C) or (N, C, H, W), not {array.shape}")
    if 0 in array.shape[1:]:
        raise DataError(f"{where} of shape {array.shape} holds images without pixels")
    array = np.ascontiguousarray(channels_first(array, where))
    if array.dtype == np.uint8:
        return torch.from_numpy(array)
    check_range(array, where)
    return torch.from_numpy(array.astype(np.float32))


def channels_first(array: NDArray[Any], where: str) -> NDArray[Any]:
    """(N, C, H, W) from (N, C, H, W) or (N, H, W, C). Raises DataError where it could be neither or both."""
    _, first, height, last = array.shape
    if first in (1, 3) and last in (3, 4) and height > 1:
        raise DataError(
            f"{where} of shape {array.shape} could be (N, C, H, W) or (N, H, W, C): enlarge such narrow"
            " images"
        )
    if first in (1, 3):
        return array
    if last in (1, 3, 4):
        return array.transpose(0, 3, 1, 2)
    if first > min(height, last):
        raise DataError(
            f"{where} of shape {array.shape} has {last} channels at the end, where only 1, 3 or 4 are read:"
            " transpose it to (N, C, H, W)"
        )
    return array


def check_range(array: NDArray[Any], where: str) -> None:
    """Raise DataError where floating-point pixels are not in 0 … 1, and say how to bring them there."""
    if not len(array):
        return
    low, high = float(array.min()), float(array.max())
    if not math.isfinite(low) or not math.isfinite(high):
        raise DataError(f"{where} holds NaN or infinite pixels")
    if low >= -TOLERANCE and high <= 1 + TOLERANCE:
        return
    sign = "+" if low < 0 else "-"
    mend = f"save (x {sign} {abs(low):.4g}) / {high - low:.4g}" if high > low else "scale it"
    if low >= 0 and 64 < high <= 65535:
        mend = f"save x / {255 if high <= 255 else 65535}"
    elif low >= -1 and high <= 1:
        mend = "save (x + 1) / 2"
    raise DataError(
        f"{where} spans {low:.4g} … {high:.4g}, floating-point pixels must be in 0 … 1: {mend}, and the same"
        " of the other split"
    )


def check_same_images(path: Path, x: Tensor, test_x: Tensor) -> None:
    """Raise DataError where the images of the two splits are not of one kind."""
    if x.shape[1:] != test_x.shape[1:]:
        raise DataError(f"{path}: x_train and x_test hold images of different shapes")
    most, test_most = (float(v.max()) / (255 if v.dtype == torch.uint8 else 1) for v in (x, test_x))
    if max(most, test_most) > MAX_RATIO * min(most, test_most) > 0:
        raise DataError(
            f"{path}: where white is 1, the brightest pixel of x_train is {most:.4g} and that of x_test"
            f" {test_most:.4g}: scale both the same way"
        )
