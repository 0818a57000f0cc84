"""Real data beside a distilled set: the same items and classes, as the set's students see them."""

from distill.data.dataset import Dataset
from distill.data.whiten import whiten
from distill.errors import DataError
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
    return [transform_like(split.with_classes(classes, "the set"), data) for split in splits]


def transform_like(split: Dataset, data: DistilledSet) -> Dataset:
    """Real items whitened or normalised as the set's items are; those that are whitened already stay so."""
    zca = data.source.get("zca")
    if zca is None:
        return normalise_like(split, data)
    return whiten(split, zca) if split.zca is None else split
