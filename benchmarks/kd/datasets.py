"""The data of the recipes, by the names that they have there, from a folder of the user's.

The folder holds cifar10.npz, usps.npz and sst2 (train.csv, test.csv). A recipe whose data is missing is left
out. A name with a size, as cifar10-16.npz, is the set at half its height and width. MNIST is in the package.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.kd.runs import save_arrays
from distill.data import images
from distill.kd.recipe.parts import Recipe

PLACES = {
    "cifar10.npz": ("cifar10.npz",),
    "usps.npz": ("usps.npz", "usps/usps.npz"),
    "sst2": ("sst2", "text/sst2"),
}
HALVED = {"cifar10-16.npz": "cifar10.npz", "mnist-14.npz": "mnist"}
BUNDLED = ("mnist",)


def place_data(recipe: Recipe, folder: Path | None, cache: Path) -> list[str] | None:
    """The --set changes that lead a recipe to its files; None where the folder has them not."""
    changes = []
    for key, name in (("name", recipe.data.name), ("target", recipe.data.target)):
        if name is None or name not in {*PLACES, *HALVED}:
            continue
        path = find_data(name, folder, cache)
        if path is None:
            return None
        changes.append(f"data.dir={path.parent}" if path.is_dir() else f"data.{key}={path}")
    return changes


def find_data(name: str, folder: Path | None, cache: Path) -> Path | None:
    """The file or folder of a set, halved into the cache where its name says so; None where it is missing."""
    if name in HALVED:
        source = HALVED[name]
        path = None if source in BUNDLED else find_file(PLACES[source], folder)
        return write_half(path, cache / name) if path or source in BUNDLED else None
    return find_file(PLACES[name], folder)


def find_file(places: Sequence[str], folder: Path | None) -> Path | None:
    """The first of some places in a folder that exists."""
    paths = [folder / place for place in places] if folder else []
    return next((path.resolve() for path in paths if path.exists()), None)


def write_half(source: Path | None, path: Path) -> Path:
    """The arrays of an .npz, or of MNIST for None, with images of half the size, written once."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        arrays = dict(np.load(source)) if source else load_mnist()
        save_arrays(path, {k: halve_images(v) if k.startswith("x") else v for k, v in arrays.items()})
    return path.resolve()


def load_mnist() -> dict[str, Any]:
    """MNIST in the package as the arrays of an .npz."""
    splits = zip(("train", "test"), images.load("mnist", None, "cpu"), strict=True)
    arrays: dict[str, Any] = {}
    for name, split in splits:
        arrays |= {f"x_{name}": split.items[:, 0].numpy(), f"y_{name}": split.labels.numpy()}
    return arrays


def halve_images(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Images (n, height, width, …) at half the height and width."""
    n, height, width, *channels = images.shape
    blocks = images.reshape(n, height // 2, 2, width // 2, 2, *channels).astype(np.float32)
    means: NDArray[np.uint8] = np.rint(blocks.mean(axis=(2, 4))).astype(np.uint8)
    return means
