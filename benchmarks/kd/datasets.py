"""The data of the recipes, by the names that they have there, from a folder of the user's.

The folder holds cifar10.npz, usps.npz and fashion-mnist (as torchvision names its files) and sst2 (train.csv,
test.csv); a recipe whose data is not there is left out. MNIST and the sentences are in the package.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.kd.runs import save_arrays
from distill.kd.recipe.parts import Recipe

FILES = {
    "cifar10.npz": ("cifar10.npz",),
    "cifar10-16.npz": ("cifar10.npz",),
    "usps.npz": ("usps.npz", "usps/usps.npz"),
    "usps": ("usps.npz", "usps/usps.npz"),
    "fashion-mnist": ("fashion-mnist",),
    "sst2": ("sst2", "text/sst2"),
}


def place_data(recipe: Recipe, folder: Path | None, cache: Path) -> list[str] | None:
    """The --set changes that lead a recipe to its files; None where the folder has them not."""
    changes = []
    for key, name in (("name", recipe.data.name), ("target", recipe.data.target)):
        if name not in FILES:
            continue
        path = find_file(FILES[name], folder)
        if path is None:
            return None
        if name == "cifar10-16.npz":
            path = write_half(path, cache / name)
        changes.append(f"data.dir={path.parent}" if path.is_dir() else f"data.{key}={path}")
    return changes


def find_file(places: Sequence[str], folder: Path | None) -> Path | None:
    """The first of some places in a folder that exists."""
    paths = [folder / place for place in places] if folder else []
    return next((path.resolve() for path in paths if path.exists()), None)


def write_half(source: Path, path: Path) -> Path:
    """CIFAR-10 at 16×16, each pixel the mean of four, written once."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with np.load(source) as file:
            arrays = {k: halve_images(file[k]) if k.startswith("x") else file[k] for k in file.files}
        save_arrays(path, arrays)
    return path.resolve()


def halve_images(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Images (n, height, width, …) at half the height and width."""
    n, height, width, *channels = images.shape
    blocks = images.reshape(n, height // 2, 2, width // 2, 2, *channels).astype(np.float32)
    means: NDArray[np.uint8] = np.rint(blocks.mean(axis=(2, 4))).astype(np.uint8)
    return means
