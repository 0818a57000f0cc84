"""The data of the recipes, by the names that they have there, from a folder of the user's.

The folder holds cifar10.npz, usps.npz, fashion-mnist (IDX files) and sst2 (train.csv, test.csv). A recipe
whose data is missing is left out. A name with a size, as cifar10-16.npz, is the set at half its height and
width, Fashion-MNIST after two rows and columns of zeros at each side. MNIST is in the package, and
clusters.npz is drawn from a formula.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.kd.runs import save_arrays
from distill.data import images
from distill.kd.recipe.parts import Recipe

PLACES = {
    "cifar10.npz": ("cifar10.npz",),
    "fashion-mnist": ("fashion-mnist",),
    "usps.npz": ("usps.npz", "usps/usps.npz"),
    "sst2": ("sst2", "text/sst2"),
}
HALVED = {
    "cifar10-16.npz": "cifar10.npz",
    "fashion-mnist-16.npz": "fashion-mnist",
    "mnist-14.npz": "mnist",
}
BORDERS = {"fashion-mnist-16.npz": 2}  # zeros around the images before they are halved
BUNDLED = ("mnist",)
Arrays = dict[str, NDArray[Any]]


def place_data(recipe: Recipe, folder: Path | None, cache: Path) -> list[str] | None:
    """The --set changes that lead a recipe to its files; None where the folder has them not."""
    changes = []
    for key, name in (("name", recipe.data.name), ("target", recipe.data.target)):
        if name is None or name not in {*PLACES, *HALVED, *GENERATORS}:
            continue
        path = find_data(name, folder, cache)
        if path is None:
            return None
        changes.append(f"data.dir={path.parent}" if path.is_dir() else f"data.{key}={path}")
    return changes


def find_data(name: str, folder: Path | None, cache: Path) -> Path | None:
    """The file or folder of a set, drawn or halved into the cache where it is such a one; None if missing."""
    if name in GENERATORS:
        return write_once(cache / name, GENERATORS[name])
    if name in HALVED:
        source = HALVED[name]
        path = None if source in BUNDLED else find_file(PLACES[source], folder)
        return write_half(source, path, cache / name) if path or source in BUNDLED else None
    return find_file(PLACES[name], folder)


def find_file(places: Sequence[str], folder: Path | None) -> Path | None:
    """The first of some places in a folder that exists."""
    paths = [folder / place for place in places] if folder else []
    return next((path.resolve() for path in paths if path.exists()), None)


def write_half(source: str, place: Path | None, path: Path) -> Path:
    """The arrays of an .npz, or of a set of IDX files, with images of half the size, written once."""

    def build_half() -> Arrays:
        arrays = dict(np.load(place)) if source.endswith(".npz") and place else load_idx(source, place)
        border = BORDERS.get(path.name, 0)
        return {k: halve_images(v, border) if k.startswith("x") else v for k, v in arrays.items()}

    return write_once(path, build_half)


def write_once(path: Path, build: Callable[[], Arrays]) -> Path:
    """The path of an .npz, which is written where it is not there yet."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        save_arrays(path, build())
    return path.resolve()


def load_idx(name: str, folder: Path | None) -> Arrays:
    """MNIST in the package, or a set of the same format in a folder, as the arrays of an .npz."""
    splits = zip(("train", "test"), images.load(name, folder, "cpu"), strict=True)
    arrays: Arrays = {}
    for split, data in splits:
        arrays |= {f"x_{split}": data.items[:, 0].numpy(), f"y_{split}": data.labels.numpy()}
    return arrays


def halve_images(images: NDArray[np.uint8], border: int = 0) -> NDArray[np.uint8]:
    """Images (n, height, width, …) at half the height and width, with a border of zeros before."""
    sides = [(0, 0), (border, border), (border, border), *[(0, 0)] * (images.ndim - 3)]
    images = np.pad(images, sides)
    n, height, width, *channels = images.shape
    blocks = images.reshape(n, height // 2, 2, width // 2, 2, *channels).astype(np.float32)
    means: NDArray[np.uint8] = np.rint(blocks.mean(axis=(2, 4))).astype(np.uint8)
    return means


BITS, INFORMATIVE, COLUMNS = 4, 10, 20  # 16 clusters; columns that depend on the cluster, and all
DISTANCE = 2.5  # of a cluster's centre from 0 along each axis of the cube, in standard deviations
COUNTS = {"train": 20_000, "test": 5_000}


def draw_clusters() -> Arrays:
    """A table whose rows are of 16 Gaussian clusters, with the number of the cluster as the label.

    The centres are the vertices of a cube of four dimensions, in an order drawn at random, as those of
    Guyon's generator (2003, "Design of experiments for the NIPS 2003 variable selection benchmark"): classes
    that are put together of clusters cannot be parted by a plane. Ten columns are random sums of the four
    dimensions, ten are noise. A row is held as an image of one row of 20 pixels in [0, 1].
    """
    rng = np.random.default_rng(0)
    vertices = (np.arange(2**BITS)[:, None] >> np.arange(BITS)) % 2 * 2.0 - 1
    centres, mixing = DISTANCE * rng.permutation(vertices), rng.normal(size=(BITS, INFORMATIVE))
    arrays: Arrays = {}
    for split, count in COUNTS.items():
        labels = np.arange(count) % 2**BITS
        z = centres[labels] + rng.normal(size=(count, BITS))
        noise = rng.normal(size=(count, COLUMNS - INFORMATIVE))
        x = np.hstack([z @ (mixing / np.linalg.norm(mixing, axis=0)), noise])
        pixels = np.clip(0.5 + x / 20, 0, 1).astype(np.float32)
        arrays |= {f"x_{split}": pixels[:, None, :], f"y_{split}": labels}
    return arrays


GENERATORS = {"clusters.npz": draw_clusters}
