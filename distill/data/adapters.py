"""A user's own tensors as a Dataset, with the checks that tell what is wrong with them."""

import warnings
from typing import Any

import torch
from torch import Tensor

from distill.data.dataset import Dataset, check_labels
from distill.errors import DataError

DataLike = Dataset | tuple[Tensor, Tensor]  # what distill.distill() takes for data


def from_tensors(data: Any, classes: tuple[str, ...] | None = None) -> Dataset:
    """(x, y) as a Dataset whose items are what the network sees; a Dataset comes back as it is.

    x is floating-point (m, *item), y long (m,). classes: by default numbered from 0 to the largest label.
    Raises DataError.
    """
    if isinstance(data, Dataset):
        return data
    if not isinstance(data, tuple | list) or [isinstance(part, Tensor) for part in data] != [True, True]:
        raise DataError(
            f"data and test must be pairs of tensors (x, y), not a {type(data).__name__}: torch.stack the"
            " items of a torch Dataset, torch.from_numpy arrays"
        )
    x, y = (part.detach() for part in data)
    check_items(x)
    check_class_numbers(y)
    if len(x) != len(y):
        raise DataError(f"x has {len(x)} items and y {len(y)} labels: one label per item")
    if classes is None:
        largest = min(int(y.max()), len(y))  # check_classes() refuses more classes than items
        classes = tuple(map(str, range(largest + 1)))
    return Dataset("own data", x.float(), y.to(x.device).long(), classes, (0.0,), (1.0,))


def check_items(x: Tensor) -> None:
    """Raise DataError where x cannot be items; warn where their scale would spoil the outer steps."""
    if not x.is_floating_point():
        raise DataError(f"x is {x.dtype}: give floating-point items of mean 0 and spread 1 or so")
    if x.ndim < 2 or x.numel() == 0:
        raise DataError(f"x of shape {tuple(x.shape)} is not (m, *item)")
    if not x.isfinite().all():
        raise DataError("x holds NaN or infinity: mend or drop those items")
    spread = float(x.std())
    if not 0.05 < spread < 20:
        message = (
            f"x has a spread of {spread:.3g}: scale it to mean 0 and spread 1, or little will be learned"
        )
        warnings.warn(message, stacklevel=4)


def check_class_numbers(y: Tensor) -> None:
    """Raise DataError where y is not one whole number per item."""
    if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool or y.ndim != 1:
        raise DataError(
            f"y is {y.dtype} of shape {tuple(y.shape)}: it must be long (m,), the class number of each item"
        )


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
    return test
