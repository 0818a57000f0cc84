"""Data sets of other libraries as items and labels: torch's Dataset and DataLoader, Hugging Face's."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    default_collate,
)

from distill.data.own.items import read_items
from distill.data.own.labels import Labels, read_labels
from distill.errors import DataError
from distill.randomness import TURN

MAX_ITEMS = 2_000_000  # that are read from a data set without a length
LABEL_COLUMNS = ("label", "labels", "target", "class", "y", "fine_label")
ITEM_COLUMNS = ("image", "img", "x", "item", "pixel_values", "features")
FORMS = (
    "(x, y) of tensors, arrays or lists, a torch Dataset or DataLoader of such pairs, a Hugging Face dataset"
    " with an image and a label column, or what distill.data.load gives"
)


class Pair(NamedTuple):
    """Items (m, *item), as read_items() returns them, and their labels."""

    items: Tensor
    labels: Labels


def read_pair(data: Any) -> Pair:
    """The items and labels of whatever a user brings. Raises DataError."""
    if is_hub_split(data):
        return read_hub_split(data)
    if isinstance(data, DataLoader):
        return read_loader(data)
    if isinstance(data, list | tuple) and len(data) == 2 and not all(is_pair(part) for part in data):
        return check_lengths(Pair(read_items(data[0]), read_labels(data[1])))
    is_list = isinstance(data, list | tuple) and len(data) > 0 and all(map(is_pair, data))
    if is_list or isinstance(data, torch.utils.data.Dataset) or is_map_style(data):
        return read_rows(data)
    raise DataError(f"data and test must be pairs (x, y), not a {type(data).__name__}: give {FORMS}")


def check_lengths(pair: Pair) -> Pair:
    """The pair. Raises DataError where it has not one label per item."""
    x, y = pair.items, pair.labels.numbers
    if len(x) != len(y):
        raise DataError(f"x has {len(x)} items and y {len(y)} labels: one label per item")
    return pair


def is_pair(value: Any) -> bool:
    """Whether a value can be one item and its label: a tuple of two, the second a single value."""
    if not isinstance(value, list | tuple) or len(value) != 2 or isinstance(value[1], list | tuple):
        return False
    return getattr(value[1], "ndim", 0) == 0


def is_map_style(data: Any) -> bool:
    """Whether a value is read like torch's map-style data sets, by a length and numbers, and is no array."""
    plain = isinstance(data, list | tuple | str | bytes | Mapping | type) or hasattr(data, "__array__")
    return not plain and hasattr(data, "__len__") and hasattr(data, "__getitem__")


def read_rows(data: Any) -> Pair:
    """The pairs of a data set, each read once, in order; its classes' names where it has some."""
    with fixed_randomness():
        rows = list(iterate_rows(data))
    if not rows:
        raise DataError("data holds no items: give at least ten")
    bad = next((i for i, row in enumerate(rows) if not isinstance(row, list | tuple) or len(row) != 2), None)
    if bad is not None:
        raise DataError(f"item {bad} of data is a {describe_row(rows[bad])}, not a pair (item, label)")
    labels = read_labels([plain_label(label) for _, label in rows])
    return Pair(read_items([to_item(item) for item, _ in rows]), name_classes(labels, data))


def iterate_rows(data: Any) -> Iterator[Any]:
    """The rows of a map-style or an iterable data set. Raises DataError with the number of a bad one."""
    sized = not isinstance(data, IterableDataset)
    rows = (data[i] for i in range(len(data))) if sized else iter(data)
    yield from limit_rows(rows, "item")


def limit_rows(rows: Iterable[Any], noun: str) -> Iterator[Any]:
    """The rows, at most MAX_ITEMS. Raises DataError for more, or where reading one fails."""
    iterator = iter(rows)
    for number in itertools.count():
        try:
            row = next(iterator)
        except StopIteration:
            return
        except DataError:
            raise
        except Exception as error:  # the user's own code reads the item
            cause = f"{type(error).__name__}: {error}"
            raise DataError(f"{noun} {number} of data cannot be read ({cause:.80})") from error
        if number >= MAX_ITEMS:
            raise DataError(
                f"data gives more than {MAX_ITEMS:,} {noun}s: give a part of it, as itertools.islice takes it"
            )
        yield row


def read_loader(loader: DataLoader[Any]) -> Pair:
    """The pairs of a DataLoader: of its data set in order, where it only shuffles; else its batches."""
    if only_shuffles(loader) and loader.collate_fn is default_collate:
        return read_pair(loader.dataset)
    with fixed_randomness():
        batches = list(limit_rows(loader, "batch"))
    bad = next((b for b in batches if not isinstance(b, list | tuple) or len(b) != 2), None)
    if bad is not None or not batches:
        found = "holds no batches" if bad is None else f"gives batches that are a {describe_row(bad)}"
        raise DataError(f"the DataLoader {found}: it must give pairs (x, y)")
    try:
        x, y = (torch.cat([torch.as_tensor(batch[part]) for batch in batches]) for part in (0, 1))
    except (RuntimeError, TypeError, ValueError) as error:
        raise DataError(f"the batches of the DataLoader do not fit together ({error!s:.80})") from None
    return check_lengths(Pair(read_items(x), name_classes(read_labels(y), loader.dataset)))


def only_shuffles(loader: Any) -> bool:
    """Whether a DataLoader gives all items of a map-style data set, each once, in some order."""
    if isinstance(loader.dataset, IterableDataset) or type(loader.batch_sampler) is not BatchSampler:
        return False
    sampler: Any = loader.batch_sampler.sampler
    takes_all = type(sampler) in (SequentialSampler, RandomSampler) and len(sampler) == len(loader.dataset)
    return takes_all and not getattr(sampler, "replacement", False)


def name_classes(labels: Labels, data: Any) -> Labels:
    """Labels with the names that a data set of torchvision has for its classes, unless it changes them."""
    while not hasattr(data, "classes") and isinstance(data, Subset):
        data = data.dataset
    names = None if getattr(data, "target_transform", None) else getattr(data, "classes", None)
    if labels.names is not None or not isinstance(names, list | tuple) or not len(names):
        return labels
    if not all(isinstance(name, str) for name in names) or int(labels.numbers.max()) >= len(names):
        return labels
    return labels._replace(names=tuple(names))


def plain_label(label: Any) -> Any:
    """A label as a number, a word or a row of numbers, out of a tensor or an array."""
    return np.asarray(label.detach().cpu()) if isinstance(label, Tensor) else label


def to_item(item: Any) -> Any:
    """An item as a tensor where it is an array or a row of numbers; others stay."""
    if isinstance(item, Tensor):
        return item.detach()
    return torch.as_tensor(np.asarray(item)) if isinstance(item, np.ndarray | list | tuple | float) else item


def describe_row(row: Any) -> str:
    """What a row is, in a sentence."""
    size = f" of {len(row)}" if isinstance(row, list | tuple) else ""
    keys = f" of {', '.join(map(str, row))}" if isinstance(row, Mapping) else ""
    return f"{type(row).__name__}{size}{keys:.80}"


def is_hub_split(data: Any) -> bool:
    """Whether a value is a Hugging Face dataset, one split or several, which need not be imported."""
    return type(data).__module__.startswith("datasets.")


def is_hub_dict(data: Any) -> bool:
    """Whether a value is a Hugging Face DatasetDict: splits by name."""
    return is_hub_split(data) and isinstance(data, Mapping)


def read_hub_split(data: Any) -> Pair:
    """The image (or array) and label columns of a Hugging Face dataset. Raises DataError."""
    if is_hub_dict(data):
        raise DataError(f"data holds the splits {', '.join(map(str, data))}: give one, as data['train']")
    features = getattr(data, "features", None)
    if not features:
        raise DataError("the columns of the dataset are not known: load it without streaming")
    label = choose_column(features, LABEL_COLUMNS, "ClassLabel")
    item = choose_column(features, ITEM_COLUMNS, "Image")
    if label is None or item is None or is_text(features[item]):
        raise DataError(describe_columns(features, label))
    if (getattr(data, "format", None) or {}).get("type") == "custom":
        raise DataError(
            "the dataset has a transform (with_transform or set_transform), whose columns are not known: use"
            " map() in its place, or give a torch Dataset of pairs (item, label)"
        )
    feature, is_images = features[item], type(features[item]).__name__ == "Image"
    if is_images and not feature.decode:
        decoded = f'data.cast_column("{item}", datasets.Image())'
        raise DataError(f'the images of the column "{item}" are not decoded: give {decoded}')
    rows = data.select_columns([item, label]).with_format(None if is_images else "numpy")
    pairs = list(limit_rows(rows, "row"))
    labels = read_labels([row[label] for row in pairs])
    names = getattr(features[label], "names", None)
    if names and int(labels.numbers.min()) < 0:
        raise DataError(
            f'a row has the "{label}" -1, which means none: drop such rows, or give another split'
        )
    labels = labels._replace(names=tuple(names)) if names else labels
    items = [to_item(row[item]) for row in pairs]
    if getattr(feature, "dtype", None) == "uint8":  # numpy's format makes long ones of them
        items = [x.byte() if isinstance(x, Tensor) else x for x in items]
    return check_lengths(Pair(read_items(items), labels))


def choose_column(features: Mapping[str, Any], names: Sequence[str], kind: str) -> str | None:
    """The column of a kind, else the first of these names; None where there is none."""
    columns = [name for name, feature in features.items() if type(feature).__name__ == kind]
    preferred = [name for name in names if name in columns]
    named = [name for name in names if name in features]
    return next(iter([*preferred, *columns, *named]), None)


def is_text(feature: Any) -> bool:
    """Whether a column holds strings."""
    return getattr(feature, "dtype", None) in ("string", "large_string")


def describe_columns(features: Mapping[str, Any], label: str | None) -> str:
    """Why a dataset with these columns cannot be read, and what to do."""
    texts = [name for name, feature in features.items() if is_text(feature) and name != label]
    if texts:
        return (
            f'the dataset holds texts (column "{texts[0]}"), which the command line distils: write it by'
            " to_csv() and give `distill text --train FILE.csv --test FILE.csv`"
        )
    known = ", ".join(features)
    return f"no columns of images and labels are among {known:.200}: rename them to image and label"


@contextmanager
def fixed_randomness() -> Iterator[None]:
    """Reading draws from a fixed seed, and torch's random numbers are afterwards as they were."""
    with TURN, torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        yield
