"""The four IDX files in which MNIST, Fashion-MNIST and KMNIST are published."""

import hashlib
import math
import zlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from distill.data.files.arrays import ImageArrays
from distill.data.files.limits import check_growth
from distill.errors import DataError

GZIP = 31  # tells zlib of a gzip head
MNIST_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}  # of the unpacked files
STEMS = tuple(MNIST_MD5)
DIGITS = tuple("0123456789")


def has_idx_files(folder: Path) -> bool:
    """Whether one of the four files is there, gzipped or not."""
    return any((folder / f"{stem}{ending}").is_file() for stem in STEMS for ending in ("", ".gz"))


def read_idx_folder(
    folder: Path, classes: tuple[str, ...] = DIGITS, md5: dict[str, str] | None = None
) -> ImageArrays:
    """The four IDX files of a folder, gzipped or not; md5 of the unpacked ones, if they are known."""
    arrays = [read_idx_file(folder, stem, (md5 or {}).get(stem)) for stem in STEMS]
    for images, labels in (arrays[:2], arrays[2:]):
        if len(images) != len(labels):
            raise DataError(f"{folder} holds {len(images)} images but {len(labels)} labels of one split")
    x, y, test_x, test_y = arrays
    return ImageArrays(x.unsqueeze(1), y.long(), test_x.unsqueeze(1), test_y.long(), classes)


def read_idx_file(folder: Path, stem: str, md5: str | None) -> Tensor:
    """One IDX file: two zero bytes, the type 8, the number of dimensions, the sizes, the bytes."""
    path = next((p for p in (folder / f"{stem}.gz", folder / stem) if p.is_file()), None)
    if path is None:
        raise DataError(f"{folder} lacks {stem}.gz: put the four IDX files there, gzipped or not")
    ndim = 3 if "images" in stem else 1
    content, sizes = unpack(path, ndim)
    start = 4 + 4 * ndim
    if content[:4] != bytes([0, 0, 8, ndim]) or len(content) != start + math.prod(sizes):
        raise DataError(f"{path} is damaged: not an IDX file of {ndim} dimensions and the size it states")
    if md5 and hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
        raise DataError(f"{path} is damaged: its MD5 is not {md5}; install distill again")
    return torch.from_numpy(np.frombuffer(content, np.uint8, offset=start).reshape(sizes).copy())


def unpack(path: Path, ndim: int) -> tuple[bytes, list[int]]:
    """(content, sizes) of a file, unzipped where its name ends in .gz, to one byte more than its head says.

    Raises DataError.
    """
    start = 4 + 4 * ndim
    try:
        raw = path.read_bytes()
        if path.suffix != ".gz":
            return raw, read_sizes(raw[:start])
        sizes = read_sizes(zlib.decompressobj(GZIP).decompress(raw, start))
        check_growth(path, length := start + math.prod(sizes))
        unzip = zlib.decompressobj(GZIP)
        content = unzip.decompress(raw, length + 1)
        if len(content) <= length and not unzip.eof:  # cut short, so that its checksum was not reached
            raise EOFError
        return content, sizes
    except (OSError, EOFError, zlib.error):
        raise DataError(f"{path} is damaged: it does not unzip; fetch it again") from None


def read_sizes(head: bytes) -> list[int]:
    """The sizes in the first bytes of an IDX file."""
    return [int.from_bytes(head[i : i + 4], "big") for i in range(4, len(head), 4)]
