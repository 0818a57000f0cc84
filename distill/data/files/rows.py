"""The rows of a table of texts: a csv, tsv, jsonl or parquet file, gzipped or not."""

import csv
import gzip
import io
import json
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from distill.errors import DataError, unknown

ENDINGS = ("csv", "tsv", "jsonl", "parquet")
Row = dict[str, Any]


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a csv, tsv, jsonl or parquet file, gzipped or not (parquet never is). Raises DataError."""
    ending = path.name.removesuffix(".gz").rsplit(".", 1)[-1].lower()
    if ending not in ENDINGS:
        raise DataError(f"{path} is not a {', '.join('.' + e for e in ENDINGS)} file (or one with .gz)")
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    if ending == "parquet":
        return read_parquet(path)
    text = read_text(path)
    return (
        parse_jsonl(text, path)
        if ending == "jsonl"
        else parse_csv(text, path, "," if ending == "csv" else "\t")
    )


def read_text(path: Path) -> str:
    """The file as text. Raises DataError with the line of the first byte that is not UTF-8."""
    content = path.read_bytes()
    try:
        content = gzip.decompress(content) if path.suffix == ".gz" else content
    except (OSError, EOFError, zlib.error):
        raise DataError(f"{path} is damaged: it does not unzip; fetch it again") from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(f"{path}, line {line}: not UTF-8; save the file as UTF-8") from None


def parse_csv(text: str, path: Path, delimiter: str) -> Iterator[Row]:
    """A row per record, by the names of the first line.

    csv, not pandas: pandas takes the sentences "None" and "NA" for missing values.
    """
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter)
    try:
        for row in reader:
            if None in row or None in row.values():
                raise DataError(
                    f"{path}, line {reader.line_num}: not as many fields as the first line names"
                    " (a text that holds the separator needs quotes)"
                )
            yield row
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}") from None


def parse_jsonl(text: str, path: Path) -> Iterator[Row]:
    """A row per line; empty lines are passed over."""
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            raise DataError(f"{path}, line {number}: not a JSON object on one line")
        yield row


def read_parquet(path: Path) -> Iterator[Row]:
    """The rows of a parquet file, by the `datasets` package; its cache is removed again."""
    import datasets

    try:
        with hide_progress_bars(), tempfile.TemporaryDirectory() as cache:
            yield from datasets.Dataset.from_parquet(str(path), cache_dir=cache, keep_in_memory=True)
    except Exception as error:  # pyarrow and datasets have a dozen ways to say no
        raise DataError(f"{path} is not a readable parquet file ({type(error).__name__})") from None


def select_column(
    rows: list[Row], column: str | None, defaults: Sequence[str], path: Path, option: str
) -> list[str]:
    """The values of a column as strings: the one that is asked for, or the first of the defaults."""
    columns = list(rows[0])
    name = column or next((n for n in defaults if n in columns), defaults[0])
    if name not in columns:
        raise DataError(f"{path}: {unknown('column', name, columns)}; give {option}")
    empty = next((i for i, row in enumerate(rows, 1) if row.get(name) is None), None)
    if empty is not None:
        raise DataError(f'{path}: row {empty} has no "{name}"')
    return [str(row[name]).strip() for row in rows]


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
