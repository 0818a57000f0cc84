"""The files of a cache of pictures, as they are written."""

import json
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distill.data.pictures.decoding import decode_pictures, describe_none
from distill.data.pictures.image_folder import FolderListing
from distill.errors import DataError

FORMAT = "distill-pictures/1"
CHANNELS = 3  # of every picture in the file
ITEMS, LABELS, INDEX = "items.bin", "labels.npy", "index.json"


def digest(text: str) -> str:
    """A word that changes with a text, which may hold names that are no Unicode."""
    return sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def seal(index: dict[str, Any], labels: Any) -> str:
    """What tells that an index and its labels are as they were written."""
    return digest(json.dumps(index, sort_keys=True) + sha256(labels.tobytes()).hexdigest())


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
    array = np.array(labels, np.int64)
    np.save(folder / LABELS, array)
    (folder / INDEX).write_text(json.dumps({**index, "seal": seal(index, array)}), encoding="utf-8")


class Summary:
    """What is to be known of the pictures of a split, one after the other."""

    def __init__(self) -> None:
        self.count, self.deep, self.is_grey = 0, 0, True
        self.pixels, self.total, self.squares = 0, np.zeros(CHANNELS), np.zeros(CHANNELS)
        self.hashes: dict[bytes, int] = {}

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
        key = blake2b(content, digest_size=12).digest()
        self.hashes[key] = self.hashes.get(key, 0) + 1
        return content

    def moments(self) -> tuple[list[float], list[float]]:
        """(means, standard deviations) of the channels; 1 where one is constant."""
        mean = self.total / self.pixels
        variance = (self.squares - self.pixels * mean**2) / max(1, self.pixels - 1)
        return mean.tolist(), [float(v) ** 0.5 if v > 1e-12 else 1.0 for v in variance]
