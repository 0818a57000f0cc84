"""Rows of text as programs write them: each is read right, or refused in a sentence with its line or row."""

import csv
import gzip
import io
import json
from pathlib import Path

import datasets
import pytest

from distill.data.texts import Corpus, read_corpus
from distill.errors import DataError

HE_SAID = 'he said "no", twice'


def read(path: Path, content: str | bytes) -> Corpus:
    """The corpus of a file with this content."""
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_corpus(path, path)


def rows_of(corpus: Corpus) -> list[tuple[str, str]]:
    """(text, class) of each training row."""
    return [(t, corpus.classes[k]) for t, k in zip(corpus.train.texts, corpus.train.labels, strict=True)]


def write_csv(rows: list[tuple[str, ...]], **dialect: object) -> str:
    """The rows as csv writes them."""
    memory = io.StringIO(newline="")
    csv.writer(memory, **dialect).writerows([("text", "label"), *rows])
    return memory.getvalue()


def glue_rows() -> list[tuple[str, str]]:
    """200 rows; every third text begins with a quote, which some close within the text and some never."""
    starts = ['"good" said {}', "plain {}", '"never closed {}', "plain {}", 'with a "{}" inside', "five {}"]
    return [(starts[i % 6].format(i), "ab"[i % 2]) for i in range(200)]


def test_200_rows_of_a_tsv_as_glue_writes_it_stay_200(tmp_path: Path) -> None:
    content = "".join(f"{text}\t{label}\n" for text, label in [("text", "label"), *glue_rows()])
    assert rows_of(read(tmp_path / "t.tsv", content)) == glue_rows()


def test_texts_that_open_and_close_quotes_on_other_lines_are_not_joined(tmp_path: Path) -> None:
    """csv's quotes would be whole: the first text would end in the third row."""
    content = 'text\tlabel\n"opens\ta\nbetween\tb\ncloses"\ta\n'
    assert rows_of(read(tmp_path / "t.tsv", content)) == [('"opens', "a"), ("between", "b"), ('closes"', "a")]


TRICKY = [(HE_SAID, "a"), ("two\nlines", "b"), ("a\ttab", "a"), ("one; two, three", "b"), ('"', "a")]


@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL], ids=["minimal", "all"])
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize(
    ("name", "delimiter"), [("t.tsv", "\t"), ("t.csv", ","), ("t.csv", ";"), ("t.csv", "|")]
)
def test_what_csv_writes_is_read(tmp_path: Path, name: str, delimiter: str, end: str, quoting: int) -> None:
    content = write_csv(TRICKY, delimiter=delimiter, quoting=quoting, lineterminator=end)
    assert rows_of(read(tmp_path / name, content)) == TRICKY


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        ("\ufefftext,label\nx,a\ny,b\n", [("x", "a"), ("y", "b")]),
        ("text,label\rx,a\ry,b\r", [("x", "a"), ("y", "b")]),
        ("text,label\n\nx,a\n \ny,b\n,\n\n", [("x", "a"), ("y", "b")]),
        ("text;label\n1,5 stars;a\ny;b\n", [("1,5 stars", "a"), ("y", "b")]),
        ("sep=;\r\ntext;label\r\nx;a\r\ny;b\r\n", [("x", "a"), ("y", "b")]),
        ("Text,LABEL\nx,a\ny,b\n", [("x", "a"), ("y", "b")]),
        ("text, label\nx, a\ny, b\n", [("x", "a"), ("y", "b")]),
        ('label, text\na, "x, y"\nb, z\n', [("x, y", "a"), ("z", "b")]),
        (r'text,label' + "\n" + r'"he said \"no\", twice",a' + "\ny,b\n", [(HE_SAID, "a"), ("y", "b")]),
        ('text,label\n"no" he said,a\ny,b\n', [('"no" he said', "a"), ("y", "b")]),
        (",text,label\n0,x,a\n1,y,b\n", [("x", "a"), ("y", "b")]),
        ("text,label,,\nx,a,,\ny,b,,\n", [("x", "a"), ("y", "b")]),
        ("text,label\nNA,a\nNone,b\n", [("NA", "a"), ("None", "b")]),
        ("text,label\nx, a \ny,b\t\nz,a\n", [("x", "a"), ("y", "b"), ("z", "a")]),
        ("text,label\nx\ry,a\nz,b\n", [("x\ry", "a"), ("z", "b")]),
    ],
    ids=[
        "byte-order-mark", "old-mac-lines", "blank-lines", "semicolons", "excel-sep", "upper-case-columns",
        "blank-before-column", "blank-before-quote", "backslash-quotes", "quote-first-unquoted",
        "pandas-index", "empty-columns", "na-and-none", "blanks-around-labels", "lone-carriage-return",
    ],
)  # fmt: skip
def test_a_csv_of_many_programs_is_read(tmp_path: Path, content: str, rows: list[tuple[str, str]]) -> None:
    assert rows_of(read(tmp_path / "t.csv", content)) == rows


def test_texts_over_131072_characters_are_read(tmp_path: Path) -> None:
    long = "word " * 40_000 + "end"
    limit = csv.field_size_limit()
    for name, delimiter in (("t.csv", ","), ("t.tsv", "\t")):
        assert (
            read(tmp_path / name, write_csv([(long, "a"), ("y", "b")], delimiter=delimiter)).train.texts[0]
            == long
        )
    assert csv.field_size_limit() == limit


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", "text,label\nx,a\ny,\n", r"t.csv: the label of row 2 is missing"),
        ("t.csv", "text,label\nx,a\ny,nan\n", r"t.csv: the label of row 2 is missing"),
        ("t.csv", "text,label\nx,1\ny,01\nz,2\n", r'the labels "01" and "1" are one number'),
        ("t.csv", "text,label\nx,a\ny," + "1" * 5000, r"the label of row 2 has 5,000 characters"),
        ("t.csv", 'text,label\nx,"[1, 2]"\ny,[0]\n', r"row 1 is the list \[1, 2\]: an item has one class"),
        ("t.csv", "text,label,label\nx,a,b\n", r't.csv has two columns called "label": rename or drop one'),
        ("t.csv", 'text,label\n"x, y",a\nz,b\n"opens,a\nu,b\n', r"line 4: a quote \(\"\) is opened"),
        ("t.csv", 'text,label\n"two\nlines",a\nx\n', r"line 4: not as many fields"),
        ("t.tsv", "text\tlabel\nx\ta\nno label\n", r"line 3: not as many fields"),
        ("t.csv", "text,label\nx,a\ny\0,b\n", r"line 3: a NUL character"),
        ("t.csv", "text,label\nx,a\n".encode("utf-16"), r"line 1: not UTF-8; save the file as UTF-8"),
        ("t.csv", "x,a\ny,b\n", r'no column called "text".*; give --text-column, or a first line that names'),
        ("t.jsonl", '{"text": ["x"], "label": 1}', r't.jsonl: row 1 has a list for its "text", not a text'),
        ("t.jsonl", '{"text": 5, "label": 1}', r'row 1 has a int for its "text", not a text'),
        ("t.jsonl", '{"text": "x", "label": {"a": 1}}', r'row 1 has a dict for its "label"'),
        ("t.jsonl", '{"text": "x", "label": 1, "label": 2}', r'line 1: the key "label" stands twice'),
        ("t.jsonl", '{"text": "x", "label": NaN}', r"the label of row 1 is missing"),
        ("t.jsonl", '{"text": "x", "label": "\\ud800"}', r"line 1: half of a character"),
        ("t.jsonl", '{"text": "\\ud800", "label": "a"}', r"line 1: half of a character"),
        ("t.jsonl", '{"text": ' + "[" * 900 + "]" * 900 + ', "label": 1}', r'row 1 has a list'),
        ("t.jsonl", '[{"text": "a"}]', r"line 1: not a JSON object on one line: of a list write each object"),
        ("t.jsonl", "[" * 99_000 + "]" * 99_000, r"line 1: not a JSON object on one line"),
    ],
    ids=[
        "empty-label", "nan-label", "01-beside-1", "5000-digit-label", "list-label",
        "two-label-columns",
        "quote-never-closed", "line-behind-a-text-of-two", "tsv-line-without-label", "nul", "utf-16",
        "no-header", "list-text", "number-text",
        "dict-label", "key-twice", "json-nan-label", "surrogate-label", "surrogate-text", "jsonl-900-deep",
        "one-list", "jsonl-99000-deep",
    ],
)  # fmt: skip
def test_a_fault_in_the_rows_is_one_sentence(
    tmp_path: Path, name: str, content: str | bytes, message: str
) -> None:
    with pytest.raises(DataError, match=message) as error:
        read(tmp_path / name, content)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 400


@pytest.mark.parametrize(
    "labels", [["0.0", "1.0"], ["0", "1.0"], [" 0", "1 "]], ids=["floats", "mixed", "blanks"]
)
def test_whole_numbers_are_one_class_however_they_are_spelt(tmp_path: Path, labels: list[str]) -> None:
    corpus = read(tmp_path / "t.csv", write_csv([("x", labels[0]), ("y", labels[1]), ("z", "1")]))
    assert (corpus.classes, corpus.train.labels) == (("0", "1"), [0, 1, 1])


def test_what_is_not_seen_makes_no_class(tmp_path: Path) -> None:
    """A space of no width, a space that does not break, a byte-order mark in the middle of a file."""
    corpus = read(
        tmp_path / "t.csv", write_csv([("x", "a\u200b"), ("y", "a\xa0"), ("z", "\ufeffa"), ("u", "b")])
    )
    assert (corpus.classes, corpus.train.labels) == (("a", "b"), [0, 0, 0, 1])


def test_composed_and_decomposed_letters_are_one_class(tmp_path: Path) -> None:
    """café, as a Mac and as Linux write it."""
    corpus = read(tmp_path / "t.csv", write_csv([("x", "caf\xe9"), ("y", "cafe\u0301"), ("z", "tea")]))
    assert (corpus.classes, corpus.train.labels) == (("caf\xe9", "tea"), [0, 0, 1])


def test_a_parquet_column_of_floats_has_whole_classes_and_names_a_missing_label(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    datasets.Dataset.from_dict({"text": ["x", "y"], "label": [1.0, 0.0]}).to_parquet(str(path))
    assert rows_of(read_corpus(path, path)) == [("x", "1"), ("y", "0")]
    datasets.Dataset.from_dict({"text": ["x", "y"], "label": [1.0, float("nan")]}).to_parquet(str(path))
    with pytest.raises(DataError, match="the label of row 2 is missing"):
        read_corpus(path, path)


def test_true_and_false_are_classes(tmp_path: Path) -> None:
    rows = [{"text": "x", "label": True}, {"text": "y", "label": False}]
    corpus = read(tmp_path / "t.jsonl", "\n".join(map(json.dumps, rows)) + "\r\n")
    assert corpus.classes == ("False", "True")


def test_200_mb_of_nuls_in_a_csv_gz_are_refused_unread(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "t.csv.gz", "wb", compresslevel=1) as file:
        for _ in range(20):
            file.write(bytes(10_000_000))
    with pytest.raises(DataError, match=r"t.csv.gz unzips to more than 100 times its size, as no text does"):
        read_corpus(tmp_path / "t.csv.gz", tmp_path / "t.csv.gz")


def test_a_file_is_unzipped_by_its_content_and_not_by_its_name(tmp_path: Path) -> None:
    """Browsers unzip a .csv.gz and keep its name; others save a zipped answer as .csv."""
    content = b"text,label\nx,a\ny,b\n"
    assert (
        read(tmp_path / "t.csv.gz", content).train == read(tmp_path / "t.csv", gzip.compress(content)).train
    )
