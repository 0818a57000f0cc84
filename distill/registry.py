"""The tables of the rooms: what a word stands for, and where it lives. Imports no torch.

Every room's __init__.py holds one table, {word: Entry}. The choices of the command line, "did you mean",
the lists of the documentation and the contract tests are made from it.
"""

from collections.abc import Iterable, Mapping
from dataclasses import MISSING, Field, field, fields
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


def option(
    default: Any = None,
    metavar: str | None = None,
    *,
    choices: Iterable[str] = (),
    above: float | None = None,
    first: bool = False,
    identity: bool = True,
    positional: bool = False,
) -> Any:
    """A field of a settings class that is an option of the command line; its docstring is the help.

    metavar stands for its value in help; choices are the words that it takes, as of a room's table; above is
    the bound that a number must exceed; first: among the options that people use first; identity=False: not
    part of what makes two runs the same run; positional: it has no flag and comes first.
    """
    metadata = {
        "metavar": metavar, "choices": tuple(choices), "words": words_of(choices), "above": above,
        "first": first, "identity": identity, "positional": positional,
    }  # fmt: skip
    return field(default=MISSING if positional and default is None else default, metadata=metadata)


def words_of(choices: Iterable[str]) -> str:
    """The words of an option for its help: with their summaries, where a table has some."""
    if isinstance(choices, Mapping):
        return "; ".join(f"{word}: {getattr(entry, 'summary', entry)}" for word, entry in choices.items())
    return ", ".join(choices)


def options_of(settings: Any) -> tuple[Field[Any], ...]:
    """The fields of a settings class that are options."""
    return tuple(f for f in fields(settings) if "metavar" in f.metadata)
