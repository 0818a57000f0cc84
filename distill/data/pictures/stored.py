"""StoredItems: images in a file or in memory, which answer on the device as a tensor of all of them would."""

import os
import threading
import weakref
import zlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distill.errors import DataError


class Storage(ABC):
    """Where items lie that are not on the device: read() fetches some of them."""

    image: tuple[int, ...]  # the shape of an item
    dtype: torch.dtype

    @abstractmethod
    def read(self, rows: Tensor) -> Tensor:
        """The items (b, *image) at these places (b,), on the CPU."""


class MemoryStorage(Storage):
    """Items in the memory of the machine, of a run that computes on another device."""

    def __init__(self, items: Tensor) -> None:
        self.items, self.image, self.dtype = items, tuple(items.shape[1:]), items.dtype

    def read(self, rows: Tensor) -> Tensor:
        return self.items[rows]


class FileStorage(Storage):
    """Images (channels, height, width) uint8 in a file, one after the other, channel by channel.

    The file is held open as long as anything holds this object, so that the images stay what they are where
    another run replaces the cache. They are read, not mapped: what a batch has read is no part of the
    process's memory afterwards. Each is compared with its checksum when it is first read, which costs 13 µs
    for 49 kB.

    Args:
        path: the file.
        image: (channels, height, width) of an image.
        stored_channels: how many channels the file has of each; only the first are read.
        checksums: CRC-32 of each image, of the channels that are read.
    """

    dtype = torch.uint8

    def __init__(
        self, path: Path, image: tuple[int, ...], stored_channels: int, checksums: Sequence[int]
    ) -> None:
        self.name, self.file = str(path), path.open("rb", buffering=0)
        self.image, self.size = image, prod(image)
        self.stride = stored_channels * prod(image[1:])
        self.checksums, self.is_checked = checksums, bytearray(len(checksums))
        self.turn = threading.Lock()
        weakref.finalize(self, self.file.close)

    def read(self, rows: Tensor) -> Tensor:
        """The images at these places. Raises DataError where the file is cut, damaged or gone."""
        images = torch.empty((len(rows), self.size), dtype=torch.uint8)
        places = rows.tolist()
        try:
            self.announce(places)
            for pixels, row in zip(images.numpy(), places, strict=True):
                if self.read_image(pixels, row) != self.size:
                    raise DataError(
                        f"{self.name} is cut: delete its folder, and the pictures are decoded anew"
                    )
                self.check(pixels, row)
        except OSError as error:
            raise DataError(f"{self.name} cannot be read ({error.strerror}): begin anew") from None
        return images.view(-1, *self.image)

    def announce(self, rows: Sequence[int]) -> None:
        """Tell the system what will be read: a disk fetches several images at once (67 ms for 161)."""
        if hasattr(os, "posix_fadvise"):
            for row in rows:
                os.posix_fadvise(self.file.fileno(), row * self.stride, self.size, os.POSIX_FADV_WILLNEED)

    def read_image(self, pixels: Any, row: int) -> int:
        """Fill an array with an image; how many bytes there were."""
        if hasattr(os, "preadv"):
            return os.preadv(self.file.fileno(), [pixels], row * self.stride)
        with self.turn:  # two threads share the place in the file
            self.file.seek(row * self.stride)
            return self.file.readinto(pixels) or 0

    def check(self, pixels: Any, row: int) -> None:
        """Raise DataError where an image is not what was written."""
        if not self.is_checked[row]:
            if zlib.crc32(pixels) != self.checksums[row]:
                raise DataError(
                    f"{self.name} is damaged at picture {row}: delete its folder, and the pictures are"
                    " decoded anew"
                )
            self.is_checked[row] = 1


@dataclass(frozen=True)
class StoredItems:
    """Items (N, *item) that lie elsewhere, of which only those asked for come to the device.

    items[indices] and items[slice] are tensors on the device; take(indices) is a part that stays where it is.

    Args:
        storage: where they lie.
        rows: their places there, in the order of this part.
        device: where batches go.
    """

    storage: Storage
    rows: Tensor
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> torch.Size:
        """(N, *item), as of images (N, channels, height, width)."""
        return torch.Size((len(self.rows), *self.storage.image))

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def dtype(self) -> torch.dtype:
        """The type of the numbers."""
        return self.storage.dtype

    def __getitem__(self, indices: Any) -> Tensor:
        rows = self.rows[indices.cpu() if isinstance(indices, Tensor) else indices]
        items = self.storage.read(rows.reshape(-1)).to(self.device)
        return items.view(*rows.shape, *self.shape[1:])

    def take(self, indices: Tensor) -> "StoredItems":
        """The items at indices, still there."""
        return replace(self, rows=self.rows[indices.cpu()])

    def to(self, device: Any) -> "StoredItems":
        """The same items; batches go to the device."""
        return replace(self, device=torch.device(device))

    def is_floating_point(self) -> bool:
        """Whether the numbers are floats."""
        return self.dtype.is_floating_point


def take_rows(items: Any, indices: Tensor) -> Any:
    """The items at indices: a tensor of them, or a part of what is stored."""
    return items.take(indices) if isinstance(items, StoredItems) else items[indices]


def is_on_disk(items: Any) -> bool:
    """Whether items are in a file."""
    return isinstance(items, StoredItems) and isinstance(items.storage, FileStorage)
