"""The files of a cache of pictures, as they are written."""

import json
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Any
from zlib import crc32

import numpy as np
import torch
from torch import Tensor

from distill.data.pictures.decoding import decode_pictures, describe_none
from distill.data.pictures.image_folder import FolderListing
from distill.errors import DataError

FORMAT = "distill-pictures/2"  # 1 had no checksums
CHANNELS = 3  # of every picture in the file
ITEMS, LABELS, CHECKSUMS, INDEX = "items.bin", "labels.npy", "checksums.npy", "index.json"


def digest(text: str) -> str:
    """A word that changes with a text, which may hold names that are no Unicode."""
    return sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def seal(index: dict[str, Any], *arrays: Any) -> str:
    """What tells that an index, the labels and the checksums are as they were written."""
    parts = [sha256(array.tobytes()).hexdigest() for array in arrays]
    return digest(json.dumps(index, sort_keys=True) + "".join(parts))


def write_cache(folder: Path, listing: FolderListing, shape: tuple[int, int], skip: bool) -> None:
    """The files of a cache. Raises DataError where a split has no picture left."""
    damaged: list[str] = []
    summaries, labels = (Summary(), Summary()), list[int]()
    with (folder / ITEMS).open("wb") as file:
        for split, summary in zip((listing.train, listing.test), summaries, strict=True):
            for image, label in decode_pictures(split, shape, damaged if skip else None):
                file.write(summary.add(image))
                labels.append(label)
            if not summary.count:
                raise DataError(describe_none(split))
    train, test = summaries
    channels = 1 if train.is_grey and test.is_grey else CHANNELS
    mean, std = train.moments()
    index = {
        "format": FORMAT, "shape": list(shape), "channels": channels, "counts": [train.count, test.count],
        "mean": mean[:channels], "std": std[:channels], "damaged": damaged, "deep": train.deep + test.deep,
        "shared": sum(test.hashes.get(key, 0) for key in test.hashes.keys() & train.hashes.keys()),
    }  # fmt: skip
    checksums = np.array(train.checksums[channels] + test.checksums[channels], np.uint32)
    arrays: dict[str, Any] = {LABELS: np.array(labels, np.int64), CHECKSUMS: checksums}
    for name, array in arrays.items():
        np.save(folder / name, array)
    sealed = {**index, "seal": seal(index, *arrays.values())}
    (folder / INDEX).write_text(json.dumps(sealed), encoding="utf-8")


class Summary:
    """What is to be known of the pictures of a split, one after the other."""

    def __init__(self) -> None:
        self.count, self.deep, self.is_grey = 0, 0, True
        self.pixels, self.total, self.squares = 0, np.zeros(CHANNELS), np.zeros(CHANNELS)
        self.hashes: dict[bytes, int] = {}
        self.checksums: dict[int, list[int]] = {1: [], CHANNELS: []}  # of so many channels

    def add(self, image: Tensor) -> bytes:
        """Count a picture (channels, h, w); its bytes. Pixels of 16 bits lose eight of them."""
        is_deep = image.is_floating_point()
        pixels = ((image * 255).round() if is_deep else image).to(torch.uint8).numpy()
        self.count, self.deep = self.count + 1, self.deep + is_deep
        self.is_grey = self.is_grey and bool((pixels[:1] == pixels).all())
        x = pixels.reshape(CHANNELS, -1).astype(np.float64) / 255
        self.pixels += x.shape[1]
        self.total += x.sum(axis=1)
        self.squares += (x**2).sum(axis=1)
        content = pixels.tobytes()
        first = crc32(content[: len(content) // CHANNELS])
        self.checksums[1].append(first)
        self.checksums[CHANNELS].append(crc32(content[len(content) // CHANNELS :], first))
        key = blake2b(content, digest_size=12).digest()
        self.hashes[key] = self.hashes.get(key, 0) + 1
        return content

    def moments(self) -> tuple[list[float], list[float]]:
        """(means, standard deviations) of the channels; 1 where one is constant."""
        mean = self.total / self.pixels
        variance = (self.squares - self.pixels * mean**2) / max(1, self.pixels - 1)
        return mean.tolist(), [float(v) ** 0.5 if v > 1e-12 else 1.0 for v in variance]
