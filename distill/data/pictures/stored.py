"""StoredItems: images in a file, which answer as a tensor of all of them would."""

import os
import weakref
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distill.errors import DataError


class OpenFile:
    """A file that is open for reading as long as anything holds this object."""

    def __init__(self, path: Path) -> None:
        self.name, self.handle = str(path), os.open(path, os.O_RDONLY)
        weakref.finalize(self, os.close, self.handle)


@dataclass(frozen=True)
class StoredItems:
    """Images (N, channels, height, width) uint8 in a file, of which only those asked for are read.

    items[indices] and items[slice] are tensors on the device; take(indices) is a part that stays in the file.
    Rows are read, not mapped: what a batch has read is no part of the process's memory afterwards.

    Args:
        file: open for reading: one image after the other, channel by channel. It is held open, so that these
            images stay what they are where another run replaces the cache.
        image: (channels, height, width) of an image.
        rows: the places of the images in the file, in the order of this part.
        stored_channels: how many channels the file has of each; only the first are read.
        device: where batches go.
    """

    file: OpenFile
    image: tuple[int, ...]
    rows: Tensor
    stored_channels: int
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.uint8

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def shape(self) -> torch.Size:
        """(N, channels, height, width)."""
        return torch.Size((len(self.rows), *self.image))

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return 1 + len(self.image)

    def __getitem__(self, indices: Any) -> Tensor:
        rows = self.rows[indices.cpu() if isinstance(indices, Tensor) else indices]
        images = self.read(rows.reshape(-1).tolist()).to(self.device)
        return images.view(*rows.shape, *self.image)

    def read(self, rows: Sequence[int]) -> Tensor:
        """The images of these places in the file. Raises DataError where the file is cut or gone."""
        size, stride = prod(self.image), self.stored_channels * prod(self.image[1:])
        images = torch.empty((len(rows), size), dtype=torch.uint8)
        lines = images.numpy()
        try:
            handle = self.file.handle
            counts = [os.preadv(handle, [line], row * stride) for line, row in zip(lines, rows, strict=True)]
        except OSError as error:
            raise DataError(f"{self.file.name} cannot be read ({error.strerror}): begin anew") from None
        if any(count != size for count in counts):
            raise DataError(f"{self.file.name} is cut: delete its folder, and the pictures are decoded anew")
        return images

    def take(self, indices: Tensor) -> "StoredItems":
        """The images at indices, still in the file."""
        return replace(self, rows=self.rows[indices.cpu()])

    def to(self, device: Any) -> "StoredItems":
        """The same images; batches go to the device."""
        return replace(self, device=torch.device(device))

    def is_floating_point(self) -> bool:
        """False: pixels are whole numbers."""
        return False


def take_rows(items: Any, indices: Tensor) -> Any:
    """The items at indices: a tensor of them, or a part of what is stored."""
    return items.take(indices) if isinstance(items, StoredItems) else items[indices]
