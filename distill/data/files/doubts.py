"""Sentences on data that can be read, but may not be what was meant: said at the start, never refused."""

import hashlib
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from torch import Tensor

from distill.data.pictures.stored import StoredItems

if TYPE_CHECKING:
    from distill.data.dataset import Dataset

MAJORITY = 0.75  # of the test items: accuracy says little from here on


def describe_case(name: str, classes: Sequence[str]) -> list[str]:
    """A sentence on two classes that differ in upper and lower case only; none where there are none."""
    words: dict[str, str] = {}
    for word in classes:
        other = words.setdefault(word.casefold(), word)
        if other != word:
            return [
                f'{name}: "{other[:80]}" and "{word[:80]}" are two classes: rename one if they are the same'
            ]
    return []


def describe_shared(name: str, train: Collection[object], test: Collection[object]) -> list[str]:
    """A sentence where a tenth of the test items or more are training items too; else none."""
    known = set(train)
    return describe_shared_count(name, sum(item in known for item in test), len(test))


def describe_shared_count(name: str, count: int, tests: int) -> list[str]:
    """The same, of so many test items that are training items too."""
    if 10 * count < tests:
        return []
    return [f"{name}: {count:,} of {tests:,} test items are training items too: scores will be too good"]


def describe_shared_images(name: str, train: Tensor, test: Tensor) -> list[str]:
    """The same of images. A few pixels tell most of them apart; all are read only where they do not."""
    if train.shape[1:] != test.shape[1:] or train.dtype != test.dtype:
        return []
    step = max(1, train[0].numel() // 64)
    some = describe_shared(name, *(list_rows(x.flatten(1)[:, ::step]) for x in (train, test)))
    return some and describe_shared(name, *(list_rows(x.flatten(1)) for x in (train, test)))


def list_rows(x: Tensor) -> list[bytes]:
    """The rows of a matrix, each as its bytes."""
    return [row.tobytes() for row in x.contiguous().cpu().numpy()]


def describe_missing(split: "Dataset", word: str) -> list[str]:
    """A sentence on the classes of which a split (the word) has no item; none where it has all."""
    counts = split.labels.bincount(minlength=len(split.classes)).tolist()
    missing = [name for name, count in zip(split.classes, counts, strict=True) if not count]
    if not missing:
        return []
    shown = ", ".join(missing[:5])[:80] + (" …" if len(missing) > 5 else "")
    return [f"{split.name}: no {word} image of {len(missing)} of {len(split.classes)} classes: {shown}"]


def find_majority(test: "Dataset") -> tuple[float, int]:
    """The share of the class that most items are of, and its label."""
    counts = test.labels.bincount()
    return float(counts.max()) / len(test), int(counts.argmax())


def describe_majority(test: "Dataset") -> list[str]:
    """A sentence where most test items are of one class, whose share is an accuracy without learning."""
    share, label = find_majority(test)
    if share < MAJORITY:
        return []
    word = test.classes[label][:80]
    return [
        f'{test.name}: {100 * share:.1f} % of the test items are of the class "{word}": who always says so'
        " has this accuracy, compare scores with it"
    ]


def describe_copies(train: "Dataset", test: "Dataset") -> list[str]:
    """Sentences on items that teach nothing: all are one constant, or two classes have the same items.

    Items on disk are not looked at: all of them would have to be read.
    """
    if isinstance(train.items, StoredItems) or isinstance(test.items, StoredItems):
        return []
    for split, word, what in ((train, "", "learn"), (test, "test ", "tell apart")):
        rows = split.items.flatten(1)
        if bool((rows[0] == rows[0, 0]).all()) and bool((rows == rows[0, 0]).all()):
            return [f"{split.name}: all pixels of all {word}images are equal: there is nothing to {what}"]
    x = train.items.flatten(1)
    # A few values of each item tell most of them apart; the rest is read only where those are the same.
    some = x[:, :: max(1, x.shape[1] // 16)].contiguous()
    members: dict[bytes, int] = {}
    counts = train.labels.bincount(minlength=len(train.classes)).tolist()
    groups = train.labels.argsort().split(counts)
    for label in (i for i, count in enumerate(counts) if count):
        other = members.setdefault(hash_rows(some[groups[label]]), label)
        if other != label and hash_rows(x[groups[label]]) == hash_rows(x[groups[other]]):
            names = f'"{train.classes[other]}" and "{train.classes[label]}"'
            return [f"{train.name}: the classes {names} have the same images: no network can tell them apart"]
    return []


def hash_rows(rows: Tensor) -> bytes:
    """The different rows (m, columns), in whatever order they came."""
    different = {row.tobytes() for row in rows.cpu().numpy()}
    return hashlib.sha256(b"".join(sorted(different))).digest()
