"""Errors that a user can mend: one sentence that says what was wrong, where, and how to mend it."""

import difflib
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

MOST_LETTERS = 240  # of a list of known words: about three lines


class UserError(Exception):
    """Shown without a traceback; the command ends with exit code 2."""


class DataError(UserError):
    """Real data that is missing, damaged or not of the expected form."""


class SetError(UserError):
    """A file that is not a readable distilled set."""


class NetworkError(UserError):
    """A network that cannot be built as asked."""


class RunError(UserError):
    """A run folder, checkpoint or device that cannot be used as asked."""


def is_memory_error(error: Exception) -> bool:
    """Whether Python, numpy or torch had no memory left; torch says so in a RuntimeError."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(word in text for word in MEMORY_WORDS)


# the last two: C++ and cuBLAS
MEMORY_WORDS = ("out of memory", "not enough memory", "allocate memory", "bad_alloc", "alloc_failed")


def cut(text: str) -> str:
    """A foreign text as a sentence holds it: on one line, at most 80 characters."""
    return cut_to(text, 80)


def cut_to(text: str, most: int) -> str:
    """The same, at most so many characters."""
    line = text[: most + 1].encode("utf-8", "replace").decode().replace("\n", " ")
    return line if len(line) <= most else line[: most - 1] + "…"


def quote(value: Any) -> str:
    """A foreign value as a sentence holds it: its repr, at most 80 characters."""
    try:
        return cut(repr(value))
    except (ValueError, RecursionError):  # a whole number of more than 4,300 digits has no repr
        return f"a {type(value).__name__}"


def unknown(noun: str, word: str, choices: Iterable[str]) -> str:
    """'no network called "lenett"; did you mean "lenet"? (known: …)'"""
    choices, word = sorted(choices), cut(word)
    near = difflib.get_close_matches(word, choices, n=1, cutoff=0.4)
    hint = f'; did you mean "{near[0]}"?' if near else ""
    return f'no {noun} called "{word}"{hint} (known: {join_words(choices)})'


def join_words(words: Sequence[str]) -> str:
    """The words with commas; of more than MOST_LETTERS letters the first, and how many more there are."""
    for count in range(len(words), 0, -1):
        more = len(words) - count
        line = ", ".join(words[:count]) + (f" and {more} more" if more else "")
        if len(line) <= MOST_LETTERS or count == 1:
            return line
    return "none"


def require(package: str, extra: str) -> None:
    """Raise UserError where an optional package is not installed."""
    if find_spec(package) is None:
        raise UserError(f"this needs the package {package}: pip install 'distill[{extra}]'")


@contextmanager
def python_names() -> Iterator[None]:
    """In errors, settings have their Python names: outer_lr in the place of --outer-lr.

    For a with statement, or as the decorator of a public function.
    """
    try:
        yield
    except UserError as error:
        message = re.sub(r"`[^`]*`|--([a-z][a-z-]*)", argument_name, str(error))  # commands stay commands
        raise type(error)(message) from error.__cause__


def argument_name(match: "re.Match[str]") -> str:
    """The Python name of an option, or the match as it is where it is none."""
    return match[1].replace("-", "_") if match[1] else match[0]
