"""A distilled set beside real data: of the same items and classes, as the set's students see them."""

import os
import sys
from dataclasses import replace
from typing import Any

import torch

from distill.data.adapters import OWN, check_classes, read_numbered, read_test, to_dataset
from distill.data.dataset import Dataset, renumber_classes
from distill.data.own.libraries import is_hub_split
from distill.data.whiten import whiten
from distill.errors import DataError, SetError
from distill.sets.distilled import DistilledSet
from distill.sets.public.normalisation import normalise_like


def match_real_data(data: DistilledSet, *splits: Dataset) -> list[Dataset]:
    """The splits with the set's classes in its order, and whitened or normalised as its items are.

    Raises DataError where their items or classes are not those of the set.
    """
    for split in splits:
        if not split.matches_items(data.items) or len(split.classes) != data.labels.shape[1]:
            raise DataError(
                f"the set holds items {tuple(data.items.shape[1:])} of {data.labels.shape[1]} classes,"
                f" {split.name} has {split.shape} of {len(split.classes)}: give the data that the set is of"
            )
    classes = data.source["classes"]
    return [transform_like(split, data) for split in renumber_classes(splits, classes, "the set")]


def transform_like(split: Dataset, data: DistilledSet) -> Dataset:
    """Real items whitened or normalised as the set's items are; those that are whitened already stay so."""
    zca = data.source.get("zca")
    if zca is None:
        return normalise_like(split, data)
    return whiten(split, zca) if split.zca is None else split


def print_own_floats(data: DistilledSet, place: str, way: str) -> None:
    """Say on stderr that the set at place was learned from a user's own floats, and what to do."""
    if data.source["name"] == OWN and not any(data.source.get("mean") or [1.0]):
        print(
            f"{place} was learned from floats as they were: here pixels are read as 0 … 1; if yours were"
            f" prepared in another way, {way}",
            file=sys.stderr,
        )


def load_if_path(data: Any) -> DistilledSet:
    """A set, itself or from its file or exported folder. Raises SetError."""
    if isinstance(data, DistilledSet):
        return data
    if isinstance(data, str | os.PathLike):
        from distill.sets.formats.base import load_set

        return load_set(data)
    raise SetError(f"data is a {type(data).__name__}: give a DistilledSet, or the path of one")


def fit_to_set(split: Any, data: DistilledSet) -> Dataset:
    """Real data in any common form, as a network needs them that the set trains. Raises DataError.

    Pixels (uint8, or what distill.data.load gives) are normalised and whitened as the set's items were;
    other floats are what the network sees.
    """
    like = describe_real_data(data)
    real = read_test(split, like)
    if type(real) is Dataset and real.items.device != data.items.device:
        real = replace(real, **{n: getattr(real, n).to(data.items.device) for n in ("items", "labels")})
    if not any(real.mean) and real.items.dtype != torch.uint8:
        return real.with_classes(data.source["classes"], "the set")
    return match_real_data(data, real)[0]


def describe_real_data(data: DistilledSet) -> Dataset:
    """The set's own items as a Dataset, for its classes and moments: what its real data must be like."""
    source, channels = data.source, data.items.shape[1] if data.items.ndim == 4 else 1
    mean, std = (tuple(source.get(name) or default) for name, default in (("mean", [0.0]), ("std", [1.0])))
    if data.text or len(mean) not in (1, channels):
        mean, std = (0.0,), (1.0,)
    names, zca = tuple(source["classes"]), source.get("zca")
    return Dataset(source["name"], data.items, data.labels.argmax(dim=1), names, mean, std, zca=zca)


def read_data(data: Any, pixels: bool = True) -> Any:
    """What a student trains on or is measured on, as Data: real data in any form, or Data as it is.

    pixels: uint8 images and words as labels are fine, as the data say themselves what they mean. Raises
    DataError.
    """
    if isinstance(data, Dataset | DistilledSet):
        return data
    if hasattr(data, "batch") and not isinstance(data, torch.utils.data.Dataset) and not is_hub_split(data):
        return data
    return check_classes(to_dataset(data)) if pixels else read_numbered(data)
