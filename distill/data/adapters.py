"""A user's own data as Datasets, with the checks that tell what is wrong with them.

Whatever distill.distill(), the students and the teachers take for real data comes through to_dataset().
"""

import contextlib
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distill.data.dataset import Dataset, channel_mean_std, check_labels
from distill.data.files.arrays import MAX_RATIO
from distill.data.own.labels import match_names
from distill.data.own.libraries import Pair, is_hub_dict, read_pair
from distill.data.whiten import whiten
from distill.errors import DataError

DataLike = Any  # what to_dataset() takes: a Dataset, (x, y), or a data set of another library
TEST_SPLITS = ("test", "validation", "valid", "val", "dev")  # of a DatasetDict, the first that is there
OWN = "own data"  # what data without a name are called
PACKAGE = str(Path(__file__).parents[1])


def to_dataset(data: DataLike, like: Dataset | None = None) -> Dataset:
    """Real data in any common form as a Dataset; a Dataset comes back as it is.

    Floats are what the network sees; uint8 images are scaled as those of files are. like: the training data
    of the same kind, whose classes, mean and std hold here too. Raises DataError.
    """
    if isinstance(data, Dataset):
        return data
    pair = read_pair(data)
    x, labels = pair
    if like is not None:
        return like_training_data(pair, like)
    check_spread(x)
    largest = min(int(labels.numbers.max()), len(x))  # check_classes() refuses more classes than items
    classes = labels.names or tuple(map(str, range(largest + 1)))
    mean, std = channel_mean_std(x) if x.dtype == torch.uint8 else ((0.0,), (1.0,))
    return Dataset(OWN, x, labels.numbers.to(x.device), classes, mean, std)


def read_splits(data: DataLike, test: DataLike | None = None) -> tuple[Dataset, Dataset | None]:
    """(train, test) as Datasets of one kind; a DatasetDict holds both. Raises DataError."""
    data, test = pick_splits(data, test)
    train = check_classes(to_dataset(data))
    if test is None:
        return train, None
    read = read_test(test, train)
    check_ratio(train, read, "the training data", "test")
    return train, read


def pick_splits(data: DataLike, test: DataLike | None = None) -> tuple[DataLike, DataLike | None]:
    """(train, test) as they are; out of a DatasetDict, where that holds them. Raises DataError."""
    if not is_hub_dict(data):
        return data, test
    if "train" not in data:
        known, first = ", ".join(data), next(iter(data), "train")
        raise DataError(f'data has no split "train" among {known:.200}: give one, as data["{first}"]')
    split = next((name for name in TEST_SPLITS if name in data), None)
    return data["train"], data[split] if test is None and split else test


def read_test(test: DataLike, train: Dataset) -> Dataset:
    """Test data of the training data's kind. Raises DataError."""
    if is_hub_dict(test):
        split = next((name for name in TEST_SPLITS if name in test), None)
        test = test[split] if split else test
    return check_same_kind(to_dataset(test, train), train)


def like_training_data(pair: Pair, train: Dataset) -> Dataset:
    """A pair with the classes and the normalisation of the training data. Raises DataError."""
    x, labels = pair
    pixels = train.items.dtype == torch.uint8 or any(train.mean)
    numbers = match_names(labels, train.classes).to(x.device)
    if x.dtype == torch.uint8 and x.shape[1] == 1 and train.shape[0] == 3:
        x = x.expand(-1, 3, -1, -1)  # grey test images beside coloured ones
    if x.dtype == torch.uint8 and train.zca:
        images = Dataset(train.name, x, numbers, train.classes, *channel_mean_std(x))
        return whiten(check_same_kind(images, train), train.zca)
    if x.dtype == torch.uint8 and not pixels:
        raise DataError(
            "test holds uint8 images, and data floating-point items: give both as uint8, or both as floats"
        )
    if x.dtype == torch.uint8:
        return replace(train, items=x, labels=numbers)
    return Dataset(train.name, x, numbers, train.classes, (0.0,), (1.0,))


def check_spread(x: Tensor) -> None:
    """Warn, where distill was called, if the scale of floating-point items would spoil the outer steps."""
    spread = float(x.std()) if x.is_floating_point() else 1.0
    if not 0.05 < spread < 20:
        message = (
            f"x has a spread of {spread:.3g}: scale it to mean 0 and spread 1, or little will be learned"
        )
        warnings.warn(message, stacklevel=count_own_frames() + 1)


def count_own_frames() -> int:
    """How many calls of this package and its decorators lie between this one's caller and the user's code."""
    count, frame = 0, sys._getframe(1)
    while frame.f_back and frame.f_code.co_filename.startswith((PACKAGE, contextlib.__file__)):
        count, frame = count + 1, frame.f_back
    return count


def check_classes(train: Dataset) -> Dataset:
    """The training data. Raises DataError where a class has no item, or a label is no class."""
    check_labels(train.name, train.labels, train.labels, len(train.classes))
    counts = train.labels.bincount(minlength=len(train.classes))
    if not counts.all():
        raise DataError(
            f"{train.name} has no item of class {train.classes[int(counts.argmin())]}: number the classes 0,"
            " 1, … without gaps"
        )
    return train


def check_same_kind(test: Dataset, train: Dataset) -> Dataset:
    """The test data, its classes in the order of the training data's. Raises DataError for another kind."""
    test = test.with_classes(train.classes, "the training data")
    check_labels("test", train.labels, test.labels, len(train.classes))
    if not test.matches_items(train.initial_items(torch.tensor([0]))):
        raise DataError(f"test has items of shape {test.shape}, data of {train.shape}")
    check_scale(test, train)
    return test


def check_scale(test: Dataset, train: Dataset) -> None:
    """Raise DataError where floats, which stay as they are, cannot be what a network of these data sees."""
    is_normalised = train.items.dtype == torch.uint8 or any(train.mean) or train.zca is not None
    if are_floats(test) and is_normalised and float(test.items.min()) >= 0:
        state, mend = "have mean 0", "subtract the mean and divide by the std that the data had"
        if train.zca is not None:
            state, mend = "are whitened", "whiten them as the data were"
        raise DataError(
            f"test holds floating-point items from 0, and data {state}: give both as uint8 images, or {mend}"
        )
    check_ratio(test, train, "test", "data")


def check_ratio(data: Dataset, other: Dataset, name: str, other_name: str) -> None:
    """Raise DataError where floats are a hundred times as large as those that a network sees beside them."""
    if not (are_floats(data) and are_floats(other)):
        return
    most, other_most = (max(map(abs, split.items.aminmax())).item() for split in (data, other))
    if most > MAX_RATIO * other_most > 0:
        raise DataError(
            f"the largest value of {name} is {most:.4g} and that of {other_name} {other_most:.4g}: scale both"
            " the same way"
        )


def are_floats(data: Dataset) -> bool:
    """Whether items are floating-point numbers that a network sees as they are."""
    is_tensor = type(data) is Dataset and isinstance(data.items, Tensor)
    return is_tensor and data.items.is_floating_point() and not any(data.mean) and data.zca is None


def read_numbered(data: DataLike) -> Dataset:
    """Real data whose labels are class numbers and whose items are what a student sees. Raises DataError.

    For where no set and no training data tell the classes and the normalisation.
    """
    if isinstance(data, Dataset):
        return data
    x, labels = read_pair(data)
    if x.dtype == torch.uint8:
        raise DataError(
            "the items are uint8 images, and a student does not know how to scale them: measure by"
            " distill.student.evaluate(set, test), or give the floats that the student was trained on"
        )
    if labels.are_words:
        raise DataError(
            "the labels are words, and a student knows class numbers only: measure by"
            " distill.student.evaluate(set, test), or give the class numbers"
        )
    classes = labels.names or tuple(map(str, range(int(labels.numbers.max().clamp(0, len(x))) + 1)))
    return Dataset(OWN, x, labels.numbers.to(x.device), classes, (0.0,), (1.0,))
