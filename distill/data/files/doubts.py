"""Sentences on data that can be read, but may not be what was meant: said at the start, never refused."""

from collections.abc import Collection, Sequence

from torch import Tensor


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
    count = sum(item in known for item in test)
    if 10 * count < len(test):
        return []
    return [f"{name}: {count:,} of {len(test):,} test items are training items too: scores will be too good"]


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
