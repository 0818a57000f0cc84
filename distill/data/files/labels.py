"""Labels as files hold them, words or numbers, as class numbers and the names of the classes."""

from collections.abc import Sequence

from distill.errors import DataError


def encode_labels(
    train: Sequence[str], test: Sequence[str], train_name: str, test_name: str
) -> tuple[tuple[str, ...], tuple[list[int], list[int]]]:
    """The classes of the training labels, numbers before words, in order; and both splits' class numbers."""
    classes = sorted(
        set(train), key=lambda label: (0, int(label), "") if is_integer(label) else (1, 0, label)
    )
    if len(classes) < 2:
        raise DataError(f'{train_name} has one class only ("{classes[0]}"): at least two are needed')
    codes = {label: i for i, label in enumerate(classes)}
    unseen = next((label for label in test if label not in codes), None)
    if unseen is not None:
        raise DataError(
            f'{test_name} has the label "{unseen}", which {train_name} never has'
            f" (known: {', '.join(classes)})"
        )
    return tuple(classes), ([codes[v] for v in train], [codes[v] for v in test])


def is_integer(word: str) -> bool:
    """Whether a word is a whole number, as "-5"."""
    return word.removeprefix("-").isdecimal()
