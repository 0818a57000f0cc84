"""Labels as files hold them, words or numbers, as class numbers and the names of the classes."""

import re
from collections.abc import Iterable, Sequence
from unicodedata import normalize

from distill.errors import DataError

WHOLE = re.compile(r"(-?\d+)\.0+")  # a whole number as a column of floats holds it: 1.0
LIST = re.compile(r"\[\s*(['\"\d].*)?\]", re.DOTALL)  # of several classes, as a csv holds it
INVISIBLE = "\u200b\ufeff"  # a space of no width and a byte-order mark, which web pages leave behind
LONGEST = 200  # characters of a class's name
SHOWN = 80  # characters of a foreign value in a message


def encode_labels(
    train: Sequence[str], test: Sequence[str], train_name: str, test_name: str
) -> tuple[tuple[str, ...], tuple[list[int], list[int]]]:
    """The classes of the training labels, numbers before words, in order; and both splits' class numbers.

    Blanks around a label are no part of it, and 1.0 is 1. Raises DataError for a label that is missing or
    no name, or a number that is spelt in two ways.
    """
    train, test = clean_labels(train, train_name), clean_labels(test, test_name)
    check_spelling({*train, *test}, train_name)
    classes = sort_classes(train)
    if len(classes) < 2:
        raise DataError(f'{train_name} has one class only ("{classes[0]}"): at least two are needed')
    codes = {label: i for i, label in enumerate(classes)}
    unseen = next((label for label in test if label not in codes), None)
    if unseen is not None:
        raise DataError(
            f'{test_name} has the label "{unseen[:SHOWN]}", which {train_name} never has'
            f" (known: {list_words(classes)})"
        )
    return classes, ([codes[v] for v in train], [codes[v] for v in test])


def sort_classes(labels: Iterable[str]) -> tuple[str, ...]:
    """The classes of labels, each once, numbers before words, in order."""
    key = lambda label: (0, int(label), "") if is_integer(label) else (1, 0, label)  # noqa: E731
    return tuple(sorted(set(labels), key=key))


def clean_labels(labels: Sequence[str], name: str, first: int = 1) -> list[str]:
    """Labels without blanks around them, and 1.0 as 1. Raises DataError that names the row, from `first`."""
    names = {label: clean_label(label) for label in set(labels)}
    faults = {label: fault for label, word in names.items() if (fault := describe_fault(word))}
    if faults:
        row = next(i for i, label in enumerate(labels) if label in faults)
        raise DataError(f"{name}: the label of row {row + first} {faults[labels[row]]}")
    return [names[label] for label in labels]


def clean_label(label: str) -> str:
    """The name of a class: composed characters, nothing invisible around it, and 1 for 1.0."""
    word = normalize("NFC", label).strip().strip(INVISIBLE).strip()
    number = WHOLE.fullmatch(word)
    return number[1] if number else word


def describe_fault(label: str) -> str:
    """What is wrong with the name of a class; empty where nothing is."""
    if label == "" or label.lower() == "nan":
        return "is missing: label the item, or leave it out"
    if LIST.fullmatch(label):
        return f"is the list {label[:SHOWN]}: an item has one class"
    if len(label) > LONGEST:
        return f"has {len(label):,} characters: give the column of the labels, whose names are short"
    if any("\ud800" <= character <= "\udfff" for character in label):
        return "holds half of a character (a lone surrogate): write it anew as UTF-8"
    return ""


def check_spelling(labels: set[str], name: str) -> None:
    """Raise DataError where two labels are the same number, as 1 and 01."""
    spelling: dict[int, str] = {}
    for label in sorted(filter(is_integer, labels)):
        other = spelling.setdefault(int(label), label)
        if other != label:
            raise DataError(f'{name}: the labels "{other}" and "{label}" are one number: write it in one way')


def list_words(words: Sequence[str]) -> str:
    """Words in a row, cut where a message would be long."""
    text = ", ".join(words)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]} …"


def is_integer(word: str) -> bool:
    """Whether a word is a whole number, as "-5"."""
    return word.removeprefix("-").isdecimal()
