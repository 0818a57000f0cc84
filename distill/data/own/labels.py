"""Labels in every form that people bring, as class numbers and, where they have them, the classes' names."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from distill.data.classes import match_classes
from distill.data.files.labels import check_spelling, clean_labels, is_integer, sort_classes
from distill.errors import DataError

FORMS = "class numbers (m,), names of classes (m,), or one-hot rows (m, classes)"


class Labels(NamedTuple):
    """Class numbers (m,) long, and the names of the classes; None where the labels are mere numbers.

    are_words: the labels were words, and their numbers depend on which words occur.
    """

    numbers: Tensor
    names: tuple[str, ...] | None = None
    are_words: bool = False


def read_labels(labels: Any) -> Labels:
    """Labels from a tensor, an array, a list, or a Series or frame of pandas. Raises DataError.

    Whole numbers stay, in whatever type; words, truth values and one-hot rows become numbers with names.
    """
    columns = getattr(labels, "columns", None)
    array = to_array(labels)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim == 2 and array.dtype.kind in "biuf":
        return Labels(
            from_one_hot(array), tuple(map(str, range(array.shape[1]) if columns is None else columns))
        )
    if array.ndim != 1 or array.size == 0:
        raise DataError(f"y is {array.dtype} of shape {array.shape}: it must be {FORMS}")
    return from_vector(array)


def to_array(labels: Any) -> NDArray[Any]:
    """The labels as an array of their own type. Raises DataError."""
    check_unmasked(labels, "y")
    is_words = isinstance(labels, list | tuple) and any(isinstance(label, str) for label in labels)
    try:
        if isinstance(labels, Tensor):
            labels = labels.detach().cpu()
            labels = labels.float() if labels.dtype == torch.bfloat16 else labels
        return np.asarray(labels, dtype=object if is_words else None)  # else numbers would become words
    except (ValueError, TypeError, RuntimeError):  # lists of unequal lengths, tensors without numbers
        raise DataError(f"y is a {type(labels).__name__} that is no array: it must be {FORMS}") from None


def check_unmasked(values: Any, name: str) -> None:
    """Raise DataError for an array of numpy or torch, or a list of them, some of whose values are masked."""
    parts = values if isinstance(values, list | tuple) else [values]
    if any(np.ma.is_masked(part) for part in parts) or type(values).__name__ == "MaskedTensor":
        raise DataError(f"{name} has masked values: drop those rows, or say by filled() what they are")


def from_vector(array: NDArray[Any]) -> Labels:
    """Labels (m,): numbers as they are, others numbered. Raises DataError."""
    if array.dtype.kind == "O":
        array = from_objects(array)
    if array.dtype.kind == "S":
        array = np.char.decode(array, "utf-8", "replace")
    if array.dtype.kind == "b":
        return Labels(torch.from_numpy(array.astype(np.int64)), ("False", "True"))
    if array.dtype.kind in "UT":
        return number_names(array.tolist())
    if array.dtype.kind in "iuf":
        return Labels(whole_numbers(array))
    raise DataError(f"y is {array.dtype} of shape {array.shape}: it must be {FORMS}")


def from_objects(array: NDArray[Any]) -> NDArray[Any]:
    """An array of one type of the values of an array of objects. Raises DataError that names a row."""
    for kind in (str, bool | np.bool_, int | np.integer, int | float | np.number):
        if all(isinstance(value, kind) for value in array):
            return np.array(array.tolist())
    first = type(array[0])
    row = next((i for i, value in enumerate(array) if not isinstance(value, first)), 0)
    value = array[row]
    problem = f"is a {type(value).__name__}" + (f", row 0 a {first.__name__}" if row else "")
    problem = "has no label" if is_missing(value) else problem
    raise DataError(f"row {row} of y {problem}: all labels must be of one kind, {FORMS}")


def is_missing(value: Any) -> bool:
    """Whether a value stands for none: None, NaN, or pandas.NA, which cannot be compared."""
    try:
        return value is None or bool(value != value)
    except (TypeError, ValueError):
        return True


def whole_numbers(array: NDArray[Any]) -> Tensor:
    """Numbers (m,) as long. Raises DataError where one is not whole."""
    with np.errstate(invalid="ignore"):
        wrong = np.flatnonzero(~(np.abs(array.astype(np.float64)) < 2**62) | (array != np.floor(array)))
    if len(wrong):
        raise DataError(
            f"row {wrong[0]} of y is {array[wrong[0]]}, which is no class number: y must be {FORMS}"
        )
    return torch.from_numpy(array.astype(np.int64))


def from_one_hot(array: NDArray[Any]) -> Tensor:
    """The place of the one in each row (m, classes). Raises DataError for a row that is not one 1, else 0."""
    ones = array == 1
    wrong = np.flatnonzero((ones.sum(axis=1) != 1) | ((array != 0) & ~ones).any(axis=1))
    if array.shape[0] == 0 or len(wrong):
        row = f"row {wrong[0]} is not one 1 and else 0" if len(wrong) else "it is empty"
        raise DataError(f"y is {array.dtype} of shape {array.shape}, but {row}: it must be {FORMS}")
    return torch.from_numpy(array.argmax(axis=1).astype(np.int64))


def number_names(values: Sequence[str]) -> Labels:
    """Words numbered in order, numerals before words, as those of files are."""
    words = clean_labels(values, "y", first=0)
    check_spelling(set(words), "y")
    names = sort_classes(words)
    codes = {name: i for i, name in enumerate(names)}
    return Labels(torch.tensor([codes[word] for word in words]), names, are_words=True)


def match_names(labels: Labels, classes: tuple[str, ...]) -> Tensor:
    """Labels as numbers of these classes: by name where both have names, else by position. Raises DataError.

    Where the names of the classes are numbers other than their positions, numbers are names.
    """
    numbers, names, _ = labels
    positions = tuple(map(str, range(len(classes))))
    is_numbered = classes != positions and all(map(is_integer, classes))
    if names is None and is_numbered:
        numbers, names, _ = number_names(list(map(str, numbers.tolist())))
    if names is None or names == classes or (names == positions[: len(names)] and not is_numbered):
        return numbers
    if classes == positions and len(names) == len(classes) and not labels.are_words:
        return torch.tensor(match_classes(names, classes, "test", "data"))[numbers]
    unknown = next((name for name in names if name not in classes), None)
    if unknown is not None:
        known = ", ".join(classes)
        raise DataError(f'y has the class "{unknown:.80}", which the data do not have (known: {known:.200})')
    return torch.tensor([classes.index(name) for name in names])[numbers]
