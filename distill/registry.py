"""The tables of the rooms: what a word stands for, and where it lives. Imports no torch.

Every room's __init__.py holds one table, {word: Entry}. The choices of the command line, "did you mean",
the lists of the documentation and the contract tests are made from it.
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any, NamedTuple

from distill.errors import UserError, unknown


class Entry(NamedTuple):
    """Where a thing lives, as "distill.networks.images:LeNet", and one line that says what it is."""

    place: str
    summary: str


def load(entry: Entry) -> Any:
    """What an entry stands for; its module is imported now."""
    module, _, name = entry.place.partition(":")
    return getattr(import_module(module), name) if name else import_module(module)


def find(table: Mapping[str, Entry], kind: str, word: str) -> Any:
    """What a word of a table stands for. Raises UserError: 'no network called "lenett"; did you mean …'."""
    if word not in table:
        raise UserError(unknown(kind, word, table))
    return load(table[word])


def describe(table: Mapping[str, Entry]) -> str:
    """'lenet (LeNet-5), convnet (…)': a table in words, for help texts."""
    return "; ".join(f"{word}: {entry.summary}" for word, entry in table.items())
