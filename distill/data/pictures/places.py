"""Where the items of a run lie: on its device, in memory or on disk, as --keep says or as they fit."""

from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distill.data.files.limits import free_bytes, in_units, machine_memory
from distill.data.pictures.cache import find_place
from distill.data.pictures.decoding import find_shape
from distill.data.pictures.image_folder import FolderListing
from distill.data.pictures.stored import MemoryStorage, StoredItems
from distill.errors import DataError

SHARE = 2  # items get one part in so many of what is free: the rest is for what a run computes


def belongs_on_disk(listing: FolderListing, size: int | None, cache: Path, skip_damaged: bool) -> bool:
    """Whether the pictures would take more than half of the memory, and are or fit on the disk."""
    needed = 3 * len(listing.pictures) * prod(find_shape(listing.pictures, size, skip_damaged))
    if needed <= machine_memory() // SHARE:
        return False
    return needed <= free_bytes(cache) or find_place(listing, size, cache, skip_damaged).exists()


def place_items(items: tuple[Tensor, ...], device: str, keep: str) -> tuple[Any, ...]:
    """Items (N, *item) in memory, moved to the device, or left there as StoredItems.

    keep: device, memory, or auto: the device where half of its free memory holds them. Beside a CPU all are
    the same. Raises DataError where --keep device is asked for and they do not fit.
    """
    if torch.device(device).type == "cpu":
        return items
    needed, free = sum(x.nbytes for x in items), free_on_device(device)
    if keep == "device" and needed > free:
        raise DataError(
            f"the items take {in_units(needed)}, and {in_units(free)} are free on {device}: give --keep"
            " memory"
        )
    if keep == "device" or (keep == "auto" and needed <= free // SHARE):
        return tuple(x.to(device) for x in items)
    return tuple(StoredItems(MemoryStorage(x), torch.arange(len(x)), torch.device(device)) for x in items)


def free_on_device(device: str) -> int:
    """The bytes that are free on a GPU; elsewhere, those of the machine."""
    if torch.device(device).type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return machine_memory()
