"""The records of a csv or tsv text: by csv's quotes where they are whole, else quotes are plain characters.

Programs disagree on quotes. csv and Excel quote a text and write the quotes in it twice; Spark writes \\" for
them; GLUE's tsv files have no quoting at all, and texts that begin with one. A reading is taken only where
every record has as many fields as the first one names.
"""

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from distill.errors import DataError

DELIMITERS = (",", "\t", ";", "|")
MAX_FIELD = 2**31 - 1  # characters; csv's own limit is 131,072, which long reviews and papers pass
FIELDS = "not as many fields as the first line names (a text that holds the separator needs quotes)"
QUOTES = 'a quote (") is opened and not closed as csv has it: quotes in a quoted text are written twice ("")'
DIALECTS: tuple[dict[str, Any], ...] = (  # beside csv's own
    {"skipinitialspace": True},  # text, "one, two"
    {"escapechar": "\\"},  # "he said \"no\"", as Spark and MySQL write
)
Records = list[list[str]]


class Reading(NamedTuple):
    """The records of a table, the first of which names the columns; what is wrong with them, and its line."""

    records: Records
    fault: str = ""
    line: int = 0


def parse_table(text: str, path: Path, delimiter: str) -> Iterator[dict[str, str]]:
    """A row per record, by the names in the first one; blank records are passed over. Raises DataError.

    delimiter is used unless the first line has another of , tab ; | and not this one.
    """
    if "\n" not in text:
        text = text.replace("\r", "\n")  # as the first Macs ended a line
    if excel := re.match(r"sep=(.)\r?\n", text):  # Excel's own line, which names the separator
        text, delimiter = text[excel.end() :], excel[1]
    delimiter = sniff_delimiter(text, delimiter)
    reading = read_tabs(text) if delimiter == "\t" else read_separated(text, delimiter)
    if reading.fault:
        raise DataError(f"{path}, line {reading.line}: {reading.fault}")
    names = [name.strip() for name in reading.records[0]] if reading.records else []
    twice = next((name for name in names if name and names.count(name) > 1), None)
    if twice is not None:
        raise DataError(f'{path} has two columns called "{twice[:80]}": rename or drop one of them')
    return (dict(zip(names, record, strict=True)) for record in reading.records[1:])


def sniff_delimiter(text: str, usual: str) -> str:
    """The usual delimiter, unless the first line, quoted names left out, has another one instead."""
    header = re.sub(r'"[^"]*"', "", text.lstrip().split("\n", 1)[0])
    return next((d for d in (usual, *DELIMITERS) if d in header), usual)


def read_separated(text: str, delimiter: str) -> Reading:
    """By csv's quotes; where they are not whole and quote no field, they are plain characters."""
    reading = read_quoted(text, delimiter)
    if not reading.fault:
        return reading
    plain = read_plain(text, delimiter)
    if not plain.fault and not any(is_quoted(field) for record in plain.records for field in record):
        return plain
    return reading


def read_tabs(text: str) -> Reading:
    """A line per record with quotes as plain characters, unless csv's quotes are whole and join no lines.

    Only where lines are no records, or the names of the columns are quoted, csv's quotes decide.
    """
    plain, quoted = read_plain(text, "\t"), read_quoted(text, "\t")
    if any(map(is_quoted, plain.records[0] if plain.records else ())):
        return quoted
    if not quoted.fault and (plain.fault or len(quoted.records) == len(plain.records)):
        return quoted
    return plain


def read_quoted(text: str, delimiter: str) -> Reading:
    """The records by the first of csv's dialects that is whole; else by csv's own, with its fault."""
    first = read_dialect(text, delimiter, {})
    others = (read_dialect(text, delimiter, dialect) for dialect in DIALECTS if first.fault)
    return next((reading for reading in others if not reading.fault), first)


def read_dialect(text: str, delimiter: str, dialect: dict[str, Any]) -> Reading:
    """The records by one dialect of csv; those before the first fault, and its line.

    csv, not pandas: pandas takes the sentences "None" and "NA" for missing values.
    """
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True, **dialect)
    limit = csv.field_size_limit(MAX_FIELD)
    records: Records = []
    line = 1
    try:
        for record in reader:
            if not is_blank(record):
                if records and len(record) != len(records[0]):
                    return Reading(records, FIELDS, line)
                records.append(record)
            line = reader.line_num + 1
    except csv.Error:
        return Reading(records, QUOTES, line)
    finally:
        csv.field_size_limit(limit)
    return Reading(records)


def read_plain(text: str, delimiter: str) -> Reading:
    """A record per line, in which quotes are plain characters."""
    records: Records = []
    for number, line in enumerate(text.split("\n"), 1):
        record = line.removesuffix("\r").split(delimiter)
        if is_blank(record):
            continue
        if records and len(record) != len(records[0]):
            return Reading(records, FIELDS, number)
        records.append(record)
    return Reading(records)


def is_blank(record: list[str]) -> bool:
    """Whether a record has nothing in its fields, as the empty rows that spreadsheets leave at the end."""
    return not any(map(str.strip, record))


def is_quoted(field: str) -> bool:
    """Whether a field stands in quotes."""
    return len(field) > 1 and field[0] == field[-1] == '"'
