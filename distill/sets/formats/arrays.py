"""Images and labels as two arrays: a pair or a dict in a .pt, or an .npz, as people save them by hand.

A dict or an .npz names them images and labels, or by another pair of NAMES, and may hold a learning rate.
FRePo's np/step*.npz is one. Images are pixels or normalised: their values say which. Labels are class
numbers, names of classes (.npz), or soft, and then taken as they are.
"""

import zipfile
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distill.data.files.arrays import load_arrays
from distill.errors import DataError, SetError
from distill.sets.formats.base import PublicSet, SourceFile, is_numeric, read_number
from distill.sets.public.training import EvaluateSynset, Targets, are_shares, encode_classes

NAMES = (("images", "labels"), ("image", "label"), ("x", "y"), ("data", "targets"), ("data", "labels"),
         ("image_syn", "label_syn"))  # fmt: skip
RATES = ("lr", "syn_lr", "learning_rate")
ZIP = b"PK"


def matches(file: SourceFile) -> bool:
    """Whether a file holds a pair of tensors or of arrays by one of the pairs of names."""
    content = file.tensors
    if isinstance(content, tuple | list):
        return len(content) == 2 and all(map(is_numeric, content))
    if isinstance(content, dict):
        names = find_names(content)
        return "format" not in content and bool(names) and all(is_numeric(content[name]) for name in names)
    return content is None and bool(find_names(list_arrays(file)))


def read_public(file: SourceFile, experiment: int = -1) -> PublicSet:
    """The two arrays, and the learning rate if there is one."""
    content: Any = file.tensors if file.tensors is not None else load_npz(file)
    is_dict = isinstance(content, dict)
    images: Tensor
    labels: Any  # an array of words, or a tensor
    images, labels = (content[name] for name in find_names(content)) if is_dict else content
    names: tuple[str, ...] = ()
    if not isinstance(labels, Tensor):
        names = tuple(sorted({str(label) for label in labels.tolist()}))
        labels = torch.tensor([names.index(str(label)) for label in labels.tolist()])
    return PublicSet(
        project="arrays",
        items=images.detach(),
        labels=simplify_labels(labels.detach()),
        training=KeptLabels(epochs=300, lr=read_number(file.path, find_rate(content) if is_dict else None)),
        class_names=names,
        unscaled=True,
    )


def find_names(content: Any) -> tuple[str, ...]:
    """The names of images and labels in a dict; an empty tuple where they are not there."""
    return next((pair for pair in NAMES if all(name in content for name in pair)), ())


def find_rate(content: dict[str, Any]) -> Any:
    """The learning rate in a dict, None where there is none."""
    return next((content[name] for name in RATES if name in content), None)


def simplify_labels(labels: Tensor) -> Tensor:
    """Class numbers (n,) as long, even where they are saved as floats; one-hot rows as floats."""
    if labels.is_floating_point() and labels.ndim == 1 and bool((labels == labels.round()).all()):
        return labels.long()
    if not labels.is_floating_point():
        return labels.float() if labels.ndim == 2 and labels.shape[1] > 1 else labels.long()
    return labels


def list_arrays(file: SourceFile) -> tuple[str, ...]:
    """The names of the arrays of an .npz; none where the file is no .npz."""
    if file.read_head(len(ZIP)) != ZIP:
        return ()
    try:
        with zipfile.ZipFile(file.path) as archive:
            return tuple(name.removesuffix(".npy") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile):
        return ()


def load_npz(file: SourceFile) -> dict[str, Any]:
    """Images, labels and rate of an .npz as tensors; labels that are words as an array. Raises SetError."""
    names = list_arrays(file)
    rates = [name for name in RATES if name in names]
    try:
        arrays = load_arrays(file.path, find_names(names), rates)
        return {name: to_tensor(array) for name, array in arrays.items()}
    except (DataError, ValueError) as error:
        raise SetError(f"{file.path} cannot be read as images and labels: {error!s:.200}") from None


def to_tensor(array: Any) -> Any:
    """A tensor of numbers; words stay an array. Raises ValueError for other types."""
    if array.dtype.kind == "U" and array.ndim == 1:
        return array
    if array.dtype.kind not in "iuf":
        raise ValueError(f"an array of {array.dtype}")
    if array.dtype.kind == "f":
        return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
    return torch.from_numpy(
        np.ascontiguousarray(array, dtype=np.uint8 if array.dtype == np.uint8 else np.int64)
    )


class KeptLabels(EvaluateSynset):
    """The field's usual training, with soft labels as they are: cross-entropy to shares, else squares."""

    def make_targets(self, labels: Tensor, classes: int) -> Targets:
        """One-hot for class numbers; shares and other soft labels, signed ones too, as they are."""
        if not labels.is_floating_point():
            return Targets(encode_classes(labels, classes))
        if are_shares(labels):
            return Targets(labels.float(), "its soft labels are shares: the loss is the cross-entropy")
        remark = "its soft labels are no shares and taken as they are: the loss is the squared error"
        return Targets(labels.float(), remark, "squared-error")
