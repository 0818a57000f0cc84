"""load(): the images of a named set, of an .npz file, a folder or tar shards, as two Datasets."""

import os
from dataclasses import replace
from inspect import signature
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from distill import registry
from distill.data import CACHE, IMAGE_SETS, KEEP
from distill.data.dataset import (
    Dataset,
    channel_mean_std,
    check_class_names,
    check_labels,
    resize_images,
)
from distill.data.files.arrays import NPZ_ARRAYS, ImageArrays, read_npz, to_images
from distill.data.files.doubts import (
    describe_case,
    describe_copies,
    describe_missing,
    describe_shared_images,
)
from distill.data.files.idx import DIGITS, MNIST_MD5, has_idx_files, read_idx_folder
from distill.data.own.libraries import is_hub_split
from distill.data.pictures.cache import read_stored
from distill.data.pictures.hub import is_saved, list_hub
from distill.data.pictures.image_folder import FolderListing, list_image_folder, read_listing
from distill.data.pictures.places import belongs_on_disk, place_items
from distill.data.pictures.shards import is_shards, list_shards
from distill.errors import DataError, unknown

DATA_DIR_AND_PATH = "--data-dir is for a named data set: leave it out, {} is a path"
MNIST = Path(__file__).parent / "bundled" / "mnist"


def load(
    name: Any,
    data_dir: str | Path | None = None,
    device: str = "cpu",
    size: int | None = None,
    keep: str = "auto",
    cache: str | Path | None = None,
    skip_damaged: bool = False,
) -> tuple[Dataset, Dataset]:
    """(train, test) of a named set, an .npz file, a folder of images, tar shards, or a DatasetDict.

    Shards are as WebDataset writes them, their folder or a pattern; a DatasetDict of the library datasets, or
    the folder of its save_to_disk(), has a column of the type Image and one of ClassLabel.

    MNIST is in the package; another named set is read from data_dir, or downloaded once by torchvision.
    size resizes the images to size × size (default: as they are; of a folder, the size of the first).
    keep="device" puts the images on the device, "memory" into the memory of the machine, from where batches
    go there; "disk" leaves those of a folder in the folder cache, decoded once; "auto" takes the first of
    these of which they fill no more than half. skip_damaged leaves out pictures that cannot be decoded. What
    was read otherwise than it may look is in the remarks of train. Raises DataError where
    files are missing or damaged, or labels are out of range.
    """
    name = name if is_hub_split(name) else os.fspath(name)
    check_arguments(name, size, keep)
    if (is_hub_split(name) or is_path(name)) and data_dir is not None:
        raise DataError(DATA_DIR_AND_PATH.format(name))
    if (listing := find_listing(name)) is not None:
        return load_listing(listing, device, size, keep, Path(cache or CACHE), skip_damaged)
    if keep == "disk" or cache is not None or skip_damaged:
        raise DataError(
            "--keep disk, --cache and --skip-damaged are for a folder of images, or tar shards:"
            f" {name} is none"
        )
    return build_splits(name, read_arrays(name, data_dir), device, size, keep)


def find_listing(name: Any) -> FolderListing | None:
    """The pictures that lie one by one in a folder, in shards or in rows; None where they are arrays."""
    if is_hub_split(name):
        return list_hub(name)
    if not is_path(name):
        return None
    if is_shards(name):
        return list_shards(name)
    path = Path(name)
    if path.is_dir():
        return list_hub(path) if is_saved(path) else list_image_folder(path)
    return None


def check_arguments(name: Any, size: Any, keep: str) -> None:
    """Raise DataError where an argument of load() is of no use."""
    if isinstance(name, str) and not name.strip():
        raise DataError(f"the name of the data set is empty: give {', '.join(IMAGE_SETS)}, or a path")
    if keep not in KEEP:
        raise DataError(f'keep must be {", ".join(KEEP)}, not "{keep!s:.40}"')
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or size < 1):
        raise DataError(f"the size of images must be a whole number above 0, not {size!r:.40}")


def load_listing(
    listing: FolderListing, device: str, size: int | None, keep: str, cache: Path, skip_damaged: bool
) -> tuple[Dataset, Dataset]:
    """The pictures of a listing, on the device, in memory or on disk."""
    if keep == "disk" or (keep == "auto" and belongs_on_disk(listing, size, cache, skip_damaged)):
        return load_stored(listing, device, size, cache, skip_damaged)
    return build_splits(str(listing.root), read_listing(listing, size, skip_damaged), device, size, keep)


def load_stored(
    listing: FolderListing, device: str, size: int | None, cache: Path, skip_damaged: bool
) -> tuple[Dataset, Dataset]:
    """The pictures of a listing on disk. Raises DataError, before anything is decoded where it can."""
    check_class_names(str(listing.root), listing.classes)
    y, test_y = (torch.tensor([label for _, label in split]) for split in (listing.train, listing.test))
    check_labels(str(listing.root), y, test_y, len(listing.classes))
    stored = read_stored(listing, size, cache, skip_damaged)
    train, test = (
        Dataset(
            listing.name,
            cast(Tensor, items.to(device)),
            labels.to(device),
            listing.classes,
            stored.mean,
            stored.std,
        )
        for items, labels in ((stored.train, stored.train_labels), (stored.test, stored.test_labels))
    )
    missing = [*describe_missing(train, "training"), *describe_missing(test, "test")]
    remarks = (*listing.remarks, *stored.remarks, *missing, *describe_case(listing.name, listing.classes))
    return replace(train, remarks=remarks), test


def build_splits(
    name: str, arrays: ImageArrays, device: str, size: int | None, keep: str
) -> tuple[Dataset, Dataset]:
    """Two Datasets of arrays of images in memory, which go to the device where keep says so.

    Raises DataError.
    """
    x, y, test_x, test_y, classes, remarks = arrays
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
    train, test = (Dataset(label, *split, classes, mean, std) for split in ((x, y), (test_x, test_y)))
    missing = [*describe_missing(train, "training"), *describe_missing(test, "test")]
    remarks = (*remarks, *missing, *describe_copies(train, test), *doubts)
    x, test_x = place_items((x, test_x), device, keep)
    train = replace(train, items=x, labels=y.to(device), remarks=remarks)
    return train, replace(test, items=test_x, labels=test_y.to(device))


def read_arrays(name: str, data_dir: str | Path | None) -> ImageArrays:
    """The images and labels of a named set or an .npz file, not yet scaled."""
    if is_path(name):
        if data_dir is not None:
            raise DataError(DATA_DIR_AND_PATH.format(name))
        return read_path(Path(name))
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
    return name.lower().endswith((".npz", ".tar")) or os.sep in name or Path(name).exists()


def read_path(path: Path) -> ImageArrays:
    """An .npz file."""
    if not path.exists():
        raise DataError(f"{path}: no such file or folder")
    if path.is_file() and path.suffix.lower() not in (".npz", ""):
        raise DataError(
            f"{path} is neither a folder nor an .npz file: unzip an archive; save arrays by numpy.savez as"
            f" {', '.join(NPZ_ARRAYS)}"
        )
    return read_npz(path)


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
