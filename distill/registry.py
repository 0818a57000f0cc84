"""The tables of the rooms: what a word stands for, and where it lives. Imports no torch.

Every room's __init__.py holds one table, {word: Entry}. The choices of the command line, "did you mean",
the lists of the documentation and the contract tests are made from it.
"""

from collections.abc import Iterable, Mapping
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


def find(table: Mapping[str, Entry], noun: str, word: str) -> Any:
    """What a word of a table stands for. Raises UserError: 'no network called "lenett"; did you mean …'."""
    if word not in table:
        raise UserError(unknown(noun, word, table))
    return load(table[word])


def describe(table: Mapping[str, Entry]) -> str:
    """A table in words, for help texts: "hf: a Hugging Face folder; images: PNGs …"."""
    return words_of(table)


def words_of(choices: Iterable[str]) -> str:
    """The words of an option for its help: with their summaries, where a table has some."""
    if isinstance(choices, Mapping):
        return "; ".join(f"{word}: {getattr(entry, 'summary', entry)}" for word, entry in choices.items())
    return ", ".join(choices)
