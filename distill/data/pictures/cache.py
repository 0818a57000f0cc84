"""The cache of a folder of pictures: decoded once to one size, in a file that StoredItems reads.

A cache is written under another name and renamed when it is whole, so that a run that is killed leaves
nothing that is later believed. It belongs to the names, sizes and times of the pictures: of others it is
made anew.
"""

import json
import math
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from distill.data.files.limits import free_bytes, in_units
from distill.data.pictures.decoding import decode_pictures, describe_damaged, find_shape
from distill.data.pictures.image_folder import FolderListing
from distill.data.pictures.stored import StoredItems
from distill.errors import DataError

try:
    import fcntl
except ImportError:  # not on this system
    fcntl = None  # type: ignore[assignment]

PARTIAL = ".partial-"
FORMAT = "distill-pictures/1"
CHANNELS = 3  # of every picture in the file
ITEMS, LABELS, INDEX = "items.bin", "labels.npy", "index.json"


class StoredFolder(NamedTuple):
    """Both splits of a folder of pictures in a cache, and the mean and spread of the training pixels."""

    train: StoredItems
    train_labels: Tensor
    test: StoredItems
    test_labels: Tensor
    mean: tuple[float, ...]
    std: tuple[float, ...]
    remarks: tuple[str, ...]


def read_stored_folder(
    root: Path, listing: FolderListing, size: int | None, cache: Path, skip: bool
) -> StoredFolder:
    """The pictures of a folder from its cache, which is made if it is not there. Raises DataError."""
    key, folder = describe_listing(listing), cache / "pictures"
    place = folder / f"{root.name}-{digest(f'{root.resolve()} {size} {skip}')[:12]}"
    index = read_index(place, key)
    if index is not None:
        return open_cache(place, index, [])
    again = [f"{place} was of other pictures, or damaged: they are decoded anew"] if place.exists() else []
    with hold(folder):
        index = read_index(place, key)  # of another process, which this one has waited for
        if index is None:
            build_cache(place, listing, size, skip, key)
            index = read_index(place, key)
    if index is None:
        raise DataError(f"{place} changed while it was written: begin anew")
    return open_cache(place, index, again)


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Keep other processes from writing caches; what one that was killed was writing is removed.

    Raises DataError where the folder cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder} cannot be written ({error.strerror}): give --cache another") from None
    handle = os.open(folder, os.O_RDONLY)
    try:
        if fcntl is not None:
            fcntl.flock(handle, fcntl.LOCK_EX)
        for partial in folder.glob(f"{PARTIAL}*"):
            shutil.rmtree(partial, ignore_errors=True)
        yield
    finally:
        os.close(handle)


def digest(text: str) -> str:
    """A word that changes with a text."""
    return sha256(text.encode()).hexdigest()


def describe_listing(listing: FolderListing) -> str:
    """What changes with the pictures of a folder: their names, sizes and times, without opening them."""
    lines = [
        f"{path} {label} {(status := path.stat()).st_size} {status.st_mtime_ns}"
        for path, label in (*listing.train, *listing.test)
    ]
    return digest("\n".join([str(len(listing.train)), *lines]))


def read_index(place: Path, key: str) -> dict[str, Any] | None:
    """What a cache says of itself; None where it is not there, not whole or of other pictures."""
    try:
        index = json.loads((place / INDEX).read_text(encoding="utf-8"))
        whole = index["format"] == FORMAT and index["key"] == key
        size = sum(index["counts"]) * CHANNELS * math.prod(index["shape"])
        whole = whole and (place / ITEMS).stat().st_size == size
        return index if whole and len(np.load(place / LABELS)) == sum(index["counts"]) else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def build_cache(place: Path, listing: FolderListing, size: int | None, skip: bool, key: str) -> None:
    """Decode the pictures into a cache: whole, or not at all. Raises DataError."""
    pictures = [*listing.train, *listing.test]
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
        write_cache(partial, listing, shape, skip, key)
        shutil.rmtree(place, ignore_errors=True)
        partial.rename(place)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_cache(folder: Path, listing: FolderListing, shape: tuple[int, int], skip: bool, key: str) -> None:
    """The files of a cache."""
    damaged: list[str] = []
    moments, labels, counts, is_grey = Moments(), list[int](), list[int](), True
    with (folder / ITEMS).open("wb") as file:
        for split in (listing.train, listing.test):
            for image, label in decode_pictures(split, shape, damaged if skip else None):
                pixels = to_bytes(image)
                file.write(pixels.tobytes())
                labels.append(label)
                is_grey = is_grey and bool((pixels[:1] == pixels).all())
                if split is listing.train:
                    moments.add(pixels)
            counts.append(len(labels) - sum(counts))
    np.save(folder / LABELS, np.array(labels, np.int64))
    channels = 1 if is_grey else CHANNELS
    mean, std = moments.summary()
    index = {
        "format": FORMAT, "key": key, "shape": shape, "channels": channels, "counts": counts,
        "mean": mean[:channels], "std": std[:channels], "damaged": damaged,
    }  # fmt: skip
    (folder / INDEX).write_text(json.dumps(index), encoding="utf-8")


def to_bytes(image: Tensor) -> Any:
    """The pixels of a picture (3, h, w) as an array of bytes; those of 16 bits lose eight of them."""
    return ((image * 255).round() if image.is_floating_point() else image).to(torch.uint8).numpy()


class Moments:
    """Running mean and spread of each channel, of pixels in [0, 1]."""

    def __init__(self) -> None:
        self.count, self.total, self.squares = 0, np.zeros(CHANNELS), np.zeros(CHANNELS)

    def add(self, pixels: Any) -> None:
        """Count the pixels (channels, h, w) of a picture."""
        x = pixels.reshape(CHANNELS, -1).astype(np.float64) / 255
        self.count += x.shape[1]
        self.total += x.sum(axis=1)
        self.squares += (x**2).sum(axis=1)

    def summary(self) -> tuple[list[float], list[float]]:
        """(means, standard deviations); 1 where a channel is constant."""
        mean = self.total / self.count
        variance = (self.squares - self.count * mean**2) / max(1, self.count - 1)
        return mean.tolist(), [float(v) ** 0.5 if v > 1e-12 else 1.0 for v in variance]


def open_cache(place: Path, index: dict[str, Any], remarks: list[str]) -> StoredFolder:
    """The two splits of a cache."""
    labels = torch.from_numpy(np.load(place / LABELS))
    image = (index["channels"], *index["shape"])
    rows = torch.arange(len(labels)).split(index["counts"])
    train, test = (StoredItems(place / ITEMS, image, part, CHANNELS) for part in rows)
    remarks = [*remarks, *describe_damaged(index["damaged"])]
    return StoredFolder(
        train,
        labels[rows[0]],
        test,
        labels[rows[1]],
        tuple(index["mean"]),
        tuple(index["std"]),
        tuple(remarks),
    )
