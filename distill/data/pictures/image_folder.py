"""A folder of image files, one subfolder per class."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from distill.data.files.arrays import ImageArrays
from distill.data.pictures.decoding import describe_damaged, read_pictures
from distill.data.pictures.image_file import ENDINGS, Picture
from distill.errors import DataError

TRAIN = ("train", "training")
TEST = ("test", "testing", "val", "valid", "validation", "dev")  # the first that is there is the test split
SYSTEM_FOLDERS = ("__macosx", "__pycache__", "@eadir", "$recycle.bin", "system volume information")
SYSTEM_FILES = ("thumbs.db", "desktop.ini")


class Listing(NamedTuple):
    """The pictures of a split: each with the number of its class; and the files that are not read."""

    pictures: list[tuple[Picture, int]]
    others: list[Path]


class FolderListing(NamedTuple):
    """The pictures of both splits with the numbers of their classes; none is opened.

    origin: where they are, in words that other pictures do not have; root: the folder that their paths begin
    with, if they are files.
    """

    train: list[tuple[Picture, int]]
    test: list[tuple[Picture, int]]
    classes: tuple[str, ...]
    remarks: tuple[str, ...]
    name: str
    origin: str
    root: Path = Path()

    @property
    def pictures(self) -> list[tuple[Picture, int]]:
        """Those of both splits."""
        return [*self.train, *self.test]


def list_image_folder(root: Path) -> FolderListing:
    """A folder with train/ and test/ (or val/), or with the classes' subfolders (every fifth is test).

    Raises DataError.
    """
    train_root, test_root, remarks = find_splits(root)
    classes = tuple(folder.name for folder in subfolders(train_root))
    if not classes:
        raise DataError(f"{train_root} holds no images: expected one subfolder per class with images in it")
    if len(classes) == 1 and len(subfolders(inner := train_root / classes[0])) > 1:
        raise DataError(f"{train_root} holds one folder, which holds others: did you mean {inner}?")
    train = list_pictures(train_root, classes)
    check_every_class(train_root, train, classes)
    test = list_pictures(test_root, classes) if test_root else Listing([], [])
    remarks += describe_others(root, train.others + test.others)
    pictures = train.pictures + test.pictures
    labels = torch.tensor([label for _, label in pictures])
    is_test = torch.arange(len(labels)) >= len(train.pictures) if test_root else every_fifth(labels)
    if not is_test.any():
        mend = "a subfolder per class in it, or move it away" if test_root else "more, or a folder test"
        raise DataError(f"{test_root or root} holds too few images to test with: give it {mend}")
    splits = [
        [p for p, chosen in zip(pictures, is_test, strict=True) if bool(chosen) == k] for k in (False, True)
    ]
    return FolderListing(splits[0], splits[1], classes, remarks, root.name, str(root.resolve()), root)


def read_listing(listing: FolderListing, size: int | None, skip: bool) -> ImageArrays:
    """The pictures of a listing in memory.

    size: height and width of the images (default: of the first). skip: leave out damaged pictures. Raises
    DataError.
    """
    damaged: list[str] = []
    count = len(listing.train)
    images, labels, places = read_pictures(listing.pictures, size, damaged if skip else None)
    k = int((places < count).sum())  # the pictures of test follow, and a part is no copy
    remarks = (*listing.remarks, *describe_damaged(damaged))
    arrays = (images[:k], labels[:k], images[k:], labels[k:])
    return ImageArrays(*arrays, listing.classes, remarks)


def read_classes(root: Path) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """(images, labels, classes) of a folder with one subfolder per class, at the size of the first image.

    Raises DataError.
    """
    classes = tuple(folder.name for folder in subfolders(root))
    listing = list_pictures(root, classes)
    check_every_class(root, listing, classes)
    images, labels, _ = read_pictures(listing.pictures, None, None)
    return images, labels, classes


def find_splits(root: Path) -> tuple[Path, Path | None, tuple[str, ...]]:
    """(the folder of the training classes, that of the test classes if there is one, remarks).

    Raises DataError where folders are called as splits, but are not a training and a test split.
    """
    folders = {folder.name.lower(): folder for folder in subfolders(root)}
    train = next((folders[name] for name in TRAIN if name in folders), None)
    tests = [folders[name] for name in TEST if name in folders]
    if train and tests:
        remarks = [] if tests[0].name.lower() in TEST[:2] else [f"{tests[0]} is the test split"]
        unused = [folder.name for folder in folders.values() if folder not in (train, tests[0])]
        if unused:
            words = ", ".join(unused)[:80]
            remarks.append(f"{root}: not used beside {train.name} and {tests[0].name}: {words}")
        return train, tests[0], tuple(remarks)
    if train and len(folders) == 1:
        return train, None, (f"{root} has no test folder: every fifth image of {train} is a test image",)
    named = [folder for name, folder in folders.items() if name in TRAIN + TEST]
    if named and (len(named) == len(folders) or any(map(subfolders, named))):
        words = ", ".join(folder.name for folder in folders.values())[:80]
        raise DataError(
            f"{root} holds {words}, which are not two splits: call them train and test, with a subfolder per"
            " class in each"
        )
    return root, None, ()


def subfolders(root: Path) -> list[Path]:
    """The folders in a folder in order, without hidden ones and those of the system."""
    return [path for path in entries(root) if path.is_dir()]


def entries(folder: Path) -> list[Path]:
    """What is in a folder, in order, without what is hidden or the system's. Raises DataError."""
    try:
        return sorted(path for path in folder.iterdir() if not is_system(path.name))
    except OSError as error:
        raise DataError(f"{folder} cannot be read ({error.strerror}): mend its permissions") from None


def is_system(name: str) -> bool:
    """Whether a name is one that the system or an editor makes, as .ipynb_checkpoints or Thumbs.db."""
    return name.startswith(".") or name.lower() in SYSTEM_FOLDERS + SYSTEM_FILES


def list_pictures(root: Path, classes: tuple[str, ...]) -> Listing:
    """The pictures below root in the order of their classes. Raises DataError for an unknown class."""
    names = [folder.name for folder in subfolders(root)]
    unknown = next((name for name in names if name not in classes), None)
    if unknown is not None:
        raise DataError(
            f"{root / unknown} is a class without training images: both splits need the same subfolders"
        )
    listing = Listing([], [path for path in entries(root) if not path.is_dir()])
    for name in names:
        for path in sorted(walk(root / name), key=sort_key):
            if path.suffix.lower() in ENDINGS:
                listing.pictures.append((path, classes.index(name)))
            else:
                listing.others.append(path)
    return listing


def walk(folder: Path) -> Iterator[Path]:
    """The files below a folder; a folder that links lead back to is read once, one above not at all."""
    root = folder.parent.resolve()
    done, waiting = {identify(path) for path in (root, *root.parents)}, [folder]
    while waiting:
        folder = waiting.pop()
        if identify(folder) in done:
            continue
        done.add(identify(folder))
        for path in entries(folder):
            if path.is_dir():
                waiting.append(path)
            else:
                yield path


def identify(folder: Path) -> tuple[int, int]:
    """What two paths to one folder have in common: its device and its number there."""
    status = folder.stat()
    return status.st_dev, status.st_ino


def sort_key(path: Path) -> tuple[str, str]:
    """Pictures are in the order of their folders, then of their names."""
    return str(path.parent), path.name


def check_every_class(root: Path, listing: Listing, classes: tuple[str, ...]) -> None:
    """Raise DataError where a class has no training image."""
    counts = Counter(label for _, label in listing.pictures)
    empty = next((root / name for label, name in enumerate(classes) if not counts[label]), None)
    if empty is not None:
        raise DataError(
            f"{empty} holds no images: put some there ({', '.join(ENDINGS)}), or remove the folder"
        )


def describe_others(root: Path, others: list[Path]) -> tuple[str, ...]:
    """A sentence on the files that are not read, by their endings; none where there are none."""
    if not others:
        return ()
    loose = sum(path.suffix.lower() in ENDINGS for path in others)
    endings = Counter(
        path.suffix.lower() or path.name for path in others if path.suffix.lower() not in ENDINGS
    )
    words = [f"{count} of {ending}" for ending, count in endings.most_common(5)]
    words += [f"{loose} images beside the classes' folders"] if loose else []
    return (f"{root}: {len(others)} files are not read: {', '.join(words)}",)


def every_fifth(labels: Tensor) -> Tensor:
    """Which items test: every fifth, where its class has another that trains."""
    is_test = torch.arange(len(labels)) % 5 == 4
    return is_test & (labels[~is_test].bincount(minlength=int(labels.max()) + 1)[labels] > 0)
