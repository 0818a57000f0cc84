"""The rows of a table of texts: a csv, tsv, jsonl or parquet file, gzipped or not."""

import gzip
import json
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from distill.data.files.tables import parse_table
from distill.errors import DataError, unknown

ENDINGS = ("csv", "tsv", "jsonl", "parquet")
LABEL_KINDS = (str, int, float)
KIND_WORDS: dict[tuple[type, ...], str] = {(str,): "a text", LABEL_KINDS: "a word or a number"}
GZIP = b"\x1f\x8b"  # what a gzipped file begins with
UNZIPPED, UNZIPPED_RATIO = 2**26, 100  # bytes that are always unzipped; or so many times the file's own
Row = dict[str, Any]


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a csv, tsv, jsonl or parquet file, gzipped or not (parquet never is). Raises DataError."""
    ending = path.name.lower().removesuffix(".gz").rsplit(".", 1)[-1]
    if ending not in ENDINGS:
        raise DataError(f"{path} is not a {', '.join('.' + e for e in ENDINGS)} file (or one with .gz)")
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    if ending == "parquet":
        return read_parquet(path)
    text = read_text(path)
    if ending == "jsonl":
        return parse_jsonl(text, path)
    return parse_table(text, path, "," if ending == "csv" else "\t")


def read_text(path: Path) -> str:
    """The file as text. Raises DataError with the line of the first byte that is not UTF-8, or NUL."""
    content = read_content(path)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(f"{path}, line {line}: not UTF-8; save the file as UTF-8") from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise DataError(f"{path}, line {line}: a NUL character, which no text holds; save the file as UTF-8")
    return text


def read_content(path: Path) -> bytes:
    """The bytes of a file, unzipped where it is gzipped, whatever it is called. Raises DataError."""
    try:
        with open(path, "rb") as file:
            is_zipped = file.read(2) == GZIP
        if not is_zipped:
            return path.read_bytes()
        with gzip.open(path) as file:
            most = max(UNZIPPED, UNZIPPED_RATIO * path.stat().st_size)
            content = file.read(most + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error):
        raise DataError(f"{path} is damaged: it does not unzip; fetch it again") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror})") from None
    if len(content) > most:
        raise DataError(
            f"{path} unzips to more than {UNZIPPED_RATIO} times its size, as no text does: unzip it and look"
        )
    return content


def parse_jsonl(text: str, path: Path) -> Iterator[Row]:
    """A row per line; empty lines are passed over. Raises DataError."""
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line, object_pairs_hook=keys_once)
        except DataError as error:
            raise DataError(f"{path}, line {number}: {error}") from None
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            mend = ": of a list write each object on a line of its own" if line.lstrip()[0] == "[" else ""
            raise DataError(f"{path}, line {number}: not a JSON object on one line{mend}")
        if "\\u" in line and any(map(has_surrogate, row.values())):
            raise DataError(
                f"{path}, line {number}: half of a character (a lone surrogate, such as \\ud800): write the"
                " file anew as UTF-8"
            )
        yield row


def keys_once(pairs: list[tuple[str, Any]]) -> Row:
    """A JSON object. Raises DataError where a key stands twice."""
    row = dict(pairs)
    if len(row) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f'the key "{twice[:80]}" stands twice: rename or drop one of them')
    return row


def has_surrogate(value: Any) -> bool:
    """Whether a value is a text that UTF-8 cannot hold."""
    return isinstance(value, str) and any("\ud800" <= character <= "\udfff" for character in value)


def read_parquet(path: Path) -> Iterator[Row]:
    """The rows of a parquet file, by the `datasets` package; its cache is removed again."""
    import datasets

    try:
        with hide_progress_bars(), tempfile.TemporaryDirectory() as cache:
            yield from datasets.Dataset.from_parquet(str(path), cache_dir=cache, keep_in_memory=True)
    except Exception as error:  # pyarrow and datasets have a dozen ways to say no
        raise DataError(f"{path} is not a readable parquet file ({type(error).__name__})") from None


def select_column(
    rows: list[Row],
    column: str | None,
    defaults: Sequence[str],
    path: Path,
    option: str,
    kinds: tuple[type, ...] = (str,),
) -> list[str]:
    """The values of a column as strings: the one that is asked for, or the first of the defaults.

    Raises DataError where it is not there, or a row has no value of one of the kinds in it.
    """
    name = find_column(list(rows[0]), (column,) if column else defaults)
    if name is None:
        columns = [word[:80] for word in rows[0]]
        wanted = unknown("column", column or defaults[0], columns)
        raise DataError(f"{path}: {wanted}; give {option}, or a first line that names the columns")
    for number, row in enumerate(rows, 1):
        if row.get(name) is None:
            raise DataError(f'{path}: row {number} has no "{name}"')
        if not isinstance(row[name], kinds):
            kind = type(row[name]).__name__
            raise DataError(f'{path}: row {number} has a {kind} for its "{name}", not {KIND_WORDS[kinds]}')
    return [str(row[name]).strip() for row in rows]


def find_column(columns: Sequence[str], wanted: Sequence[str]) -> str | None:
    """The column of the first of these names, as written or else in upper or lower case; None without one."""
    for name in wanted:
        if name in columns:
            return name
    for name in wanted:
        near = [column for column in columns if column.casefold() == name.casefold()]
        if len(near) == 1:
            return near[0]
    return None


@contextmanager
def hide_progress_bars() -> Iterator[None]:
    """Without the progress bars of `datasets`."""
    import datasets

    enabled = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if enabled:
            datasets.enable_progress_bars()
