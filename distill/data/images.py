"""load(): the images of a named set, of an .npz file or of a folder, as two Datasets."""

import os
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import torch

from distill import registry
from distill.data import CACHE, IMAGE_SETS
from distill.data.dataset import (
    Dataset,
    channel_mean_std,
    check_class_names,
    check_labels,
    describe_copies,
    describe_missing,
    resize_images,
)
from distill.data.files.arrays import NPZ_ARRAYS, ImageArrays, read_npz, to_images
from distill.data.files.doubts import describe_case, describe_shared_images
from distill.data.files.idx import DIGITS, MNIST_MD5, has_idx_files, read_idx_folder
from distill.data.files.image_folder import read_image_folder
from distill.errors import DataError, unknown

MNIST = Path(__file__).parent / "bundled" / "mnist"


def load(
    name: str, data_dir: str | Path | None = None, device: str = "cpu", size: int | None = None
) -> tuple[Dataset, Dataset]:
    """(train, test) of a named set, an .npz file, or a folder of images.

    MNIST is in the package; another named set is read from data_dir, or downloaded once by torchvision.
    size resizes the images to size × size (default: as they are; of a folder, the size of the first).
    What was read otherwise than it may look is in the remarks of train. Raises DataError where files are
    missing or damaged, or labels are out of range.
    """
    x, y, test_x, test_y, classes, remarks = read_arrays(name, data_dir, size)
    for split, labels in (("training", y), ("test", test_y)):
        if not len(labels):
            raise DataError(f"{name} has no {split} images")
    check_labels(name, y, test_y, len(classes))
    check_class_names(name, classes)
    label = Path(name).name if is_path(name) else name
    doubts = [*describe_case(label, classes), *describe_shared_images(label, x, test_x)]
    if size:
        x, test_x = (resize_images(images, (size, size)) for images in (x, test_x))
    mean, std = channel_mean_std(x)
    train, test = (
        Dataset(label, images.to(device), labels.to(device), classes, mean, std)
        for images, labels in ((x, y), (test_x, test_y))
    )
    missing = [*describe_missing(train, "training"), *describe_missing(test, "test")]
    return replace(train, remarks=(*remarks, *missing, *describe_copies(train, test), *doubts)), test


def read_arrays(name: str, data_dir: str | Path | None, size: int | None) -> ImageArrays:
    """The images and labels of load(), not yet scaled."""
    if not name.strip():
        raise DataError(f"the name of the data set is empty: give {', '.join(IMAGE_SETS)}, or a path")
    if is_path(name):
        if data_dir is not None:
            raise DataError(f"--data-dir is for a named data set: leave it out, {name} is a path")
        return read_path(Path(name), size)
    if name not in IMAGE_SETS:
        raise DataError(
            unknown("data set", name, IMAGE_SETS) + "; or give a path to an .npz file or a folder"
        )
    if data_dir is not None:
        return read_data_dir(name, Path(data_dir))
    if name == "mnist":
        return read_idx_folder(MNIST, DIGITS, MNIST_MD5)
    return read_torchvision(name, CACHE, download=True)


def is_path(name: str) -> bool:
    """Whether a name is a path rather than a word of IMAGE_SETS."""
    if name in IMAGE_SETS:  # a folder of that name is ./mnist
        return False
    return name.lower().endswith(".npz") or os.sep in name or Path(name).exists()


def read_path(path: Path, size: int | None) -> ImageArrays:
    """A folder of images or an .npz file."""
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    if path.is_file() and path.suffix.lower() not in (".npz", ""):
        raise DataError(
            f"{path} is neither a folder nor an .npz file: unzip an archive; save arrays by numpy.savez as"
            f" {', '.join(NPZ_ARRAYS)}"
        )
    return read_image_folder(path, size) if path.is_dir() else read_npz(path)


def read_data_dir(name: str, root: Path) -> ImageArrays:
    """A named set from files: IDX files or an .npz in root or root/name, or torchvision's own layout."""
    compact, is_idx = name.replace("-", ""), name.endswith("mnist")
    for folder in (root / name, root / compact, root):
        if is_idx and has_idx_files(folder):
            return read_idx_folder(folder)
        for stem in (name, compact):
            if (folder / f"{stem}.npz").is_file():
                return read_npz(folder / f"{stem}.npz")
    try:
        return read_torchvision(name, root, download=False)
    except DataError:
        idx = f"{root / name}/train-images-idx3-ubyte.gz and its three companions, or "
        raise DataError(
            f"no {name} in {root}: expected {idx if is_idx else ''}{root / compact}.npz with"
            f" {', '.join(NPZ_ARRAYS)}; without --data-dir it is"
            f" {'read from the package' if name == 'mnist' else 'downloaded once'}"
        ) from None


def read_torchvision(name: str, root: Path, download: bool) -> ImageArrays:
    """A named set as torchvision reads it from root, downloaded there first if asked."""
    if download:
        root.mkdir(parents=True, exist_ok=True)
    try:
        train, test = (torchvision_split(name, root, download, split) for split in ("train", "test"))
    except Exception as error:  # the network, the host, the file system: torchvision passes them all on
        raise DataError(
            f"{name} could not be downloaded to {root} ({type(error).__name__}): fetch it by hand and give"
            f" --data-dir a folder with {name.replace('-', '')}.npz, or with torchvision's files"
        ) from None
    x, test_x = (to_images(np.asarray(split.data), name) for split in (train, test))
    y, test_y = (
        torch.as_tensor(np.asarray(getattr(split, "targets", getattr(split, "labels", None)))).long()
        for split in (train, test)
    )
    classes = getattr(train, "classes", DIGITS)
    return ImageArrays(x, y, test_x, test_y, tuple(map(str, classes)))


def torchvision_split(name: str, root: Path, download: bool, split: str) -> Any:
    """torchvision's object for one split; its classes take split="train" or train=True."""
    set_class = registry.load(IMAGE_SETS[name])
    arguments = (
        {"split": split} if "split" in signature(set_class).parameters else {"train": split == "train"}
    )
    return set_class(str(root), download=download, **arguments)
