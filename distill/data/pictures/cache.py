"""The cache of a set of pictures: decoded once to one size, in a file that StoredItems reads.

A cache is written under another name and renamed when it is whole, so that a run that is killed leaves
nothing that is later believed. It belongs to the names, sizes and times of the pictures: of others it is
made anew.
"""

import json
import math
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from distill.data.files.doubts import describe_shared_count
from distill.data.files.limits import free_bytes, in_units
from distill.data.files.locks import PARTIAL, hold_folder
from distill.data.pictures.cache_files import (
    CHANNELS,
    CHECKSUMS,
    FORMAT,
    INDEX,
    ITEMS,
    LABELS,
    digest,
    seal,
    write_cache,
)
from distill.data.pictures.decoding import describe_damaged, find_shape
from distill.data.pictures.image_file import Picture
from distill.data.pictures.image_folder import FolderListing
from distill.data.pictures.stored import FileStorage, StoredItems
from distill.errors import DataError


class StoredPictures(NamedTuple):
    """Both splits of a set of pictures in a cache, and the mean and spread of the training pixels."""

    train: StoredItems
    train_labels: Tensor
    test: StoredItems
    test_labels: Tensor
    mean: tuple[float, ...]
    std: tuple[float, ...]
    remarks: tuple[str, ...]


def read_stored(listing: FolderListing, size: int | None, cache: Path, skip: bool) -> StoredPictures:
    """The pictures of a listing from their cache, which is made if it is not there. Raises DataError."""
    if Path(listing.origin) in (cache.resolve(), *cache.resolve().parents):
        raise DataError(f"the cache {cache} lies in the folder of pictures: give --cache another folder")
    place = find_place(listing, size, cache, skip)
    others = find_others(place)
    try:
        with hold_folder(place.parent, "decodes pictures"):
            index = read_index(place)
            if index is None:
                build_cache(place, listing, size, skip)
                index = read_index(place)
                for other in others:
                    shutil.rmtree(other, ignore_errors=True)
        if index is not None:
            again = f"{listing.name} has other pictures than its cache: they were decoded anew"
            return open_cache(listing.name, place, index, [again] if others else [])
    except OSError as error:
        raise DataError(
            f"{place} cannot be written ({error.strerror}): give --cache another folder"
        ) from None
    raise DataError(f"{place} changed while it was written: begin anew")


def find_place(listing: FolderListing, size: int | None, cache: Path, skip: bool) -> Path:
    """Where the cache of these pictures is, or will be: its name changes with them."""
    word = f"{listing.name}-{digest(f'{listing.origin} {size} {skip}')[:12]}"
    return cache / "pictures" / f"{word}-{describe_listing(listing)[:12]}"


def find_others(place: Path) -> list[Path]:
    """Caches of other pictures of the same folder; a run that reads one holds its file open."""
    there = list(place.parent.iterdir()) if place.parent.is_dir() else []
    return [path for path in there if path.name.startswith(place.name[:-12]) and path != place]


def describe_listing(listing: FolderListing) -> str:
    """What changes with the pictures: the names, sizes and times of files, without opening them."""
    lines = [f"{describe_picture(path, listing.root)} {label}" for path, label in listing.pictures]
    return digest("\n".join([str(len(listing.train)), *lines]))


def describe_picture(picture: Picture, root: Path) -> str:
    """What changes with one of them."""
    if isinstance(picture, Path):
        return f"{picture.relative_to(root)} {describe_file(picture)}"
    return picture.describe()


def describe_file(path: Path) -> str:
    """Size and times of a file: that of its last change in the directory too, which no copy can set."""
    try:
        status = path.stat()
    except OSError:  # a link to nowhere
        return "not there"
    return f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}"


def read_index(place: Path) -> dict[str, Any] | None:
    """What a cache says of itself; None where it is not there, not whole or not what was written."""
    try:
        index: dict[str, Any] = json.loads((place / INDEX).read_text(encoding="utf-8"))
        size = sum(index["counts"]) * CHANNELS * math.prod(index["shape"])
        arrays = [np.load(place / name) for name in (LABELS, CHECKSUMS)]
        whole = index.pop("seal") == seal(index, *arrays) and (place / ITEMS).stat().st_size == size
        return index if whole and index["format"] == FORMAT else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def build_cache(place: Path, listing: FolderListing, size: int | None, skip: bool) -> None:
    """Decode the pictures into a cache: whole, or not at all. Raises DataError."""
    pictures = listing.pictures
    shape = find_shape(pictures, size, skip)
    needed = len(pictures) * CHANNELS * math.prod(shape)
    if needed > (free := free_bytes(place.parent)):
        raise DataError(
            f"{len(pictures):,} pictures of {shape[0]}×{shape[1]} take {in_units(needed)} in {place.parent},"
            f" where {in_units(free)} are free: give --cache a folder on a larger disk, or --image-size"
        )
    print(f"decoding {len(pictures):,} pictures into {place} ({in_units(needed)}), once", file=sys.stderr)
    partial = Path(tempfile.mkdtemp(prefix=PARTIAL, dir=place.parent))
    try:
        write_cache(partial, listing, shape, skip)
        shutil.rmtree(place, ignore_errors=True)
        partial.rename(place)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def open_cache(name: str, place: Path, index: dict[str, Any], remarks: list[str]) -> StoredPictures:
    """The two splits of a cache."""
    labels = torch.from_numpy(np.load(place / LABELS))
    image = (index["channels"], *index["shape"])
    rows = torch.arange(len(labels)).split(index["counts"])
    file = FileStorage(place / ITEMS, image, CHANNELS, np.load(place / CHECKSUMS).tolist())
    train, test = (StoredItems(file, part) for part in rows)
    deep = f"{index['deep']:,} pictures of 16 bits are kept with 8 on disk" if index["deep"] else ""
    shared = describe_shared_count(name, index["shared"], len(rows[1]))
    remarks = [*remarks, *describe_damaged(index["damaged"]), *([deep] if deep else []), *shared]
    mean, std = tuple(index["mean"]), tuple(index["std"])
    return StoredPictures(train, labels[rows[0]], test, labels[rows[1]], mean, std, tuple(remarks))
