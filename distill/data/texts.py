"""Where texts come from: the bundled sentences, named sets by hub or folder, a user's own files.

Everything becomes a Corpus: strings and class numbers, train and test. What a string means is for text.py.
"""

import csv
import gzip
import io
import json
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from distill.errors import DataError, unknown

BUNDLED = Path(__file__).parent / "bundled" / "sentences"
ENDINGS = ("csv", "tsv", "jsonl", "parquet")


class Part(NamedTuple):
    """One split: a class number per text."""

    texts: list[str]
    labels: list[int]


@dataclass(frozen=True)
class Corpus:
    """A whole set of texts: two splits and the names of the classes."""

    name: str
    train: Part
    test: Part
    classes: tuple[str, ...]
    files: tuple[str | None, ...] = ()  # a user's own: train, test, text column, label column


@dataclass(frozen=True)
class Source:
    """A set known by name: its hub, its folder below --data-dir, its label column in each, its classes."""

    hub: str
    folder: str
    hub_label: str = "label"
    label: str = "label"
    names: tuple[str, ...] = ()
    revision: str | None = None


POLARITY = ("negative", "positive")
SHADES = ("very negative", "negative", "neutral", "positive", "very positive")
PARQUET = "refs/convert/parquet"  # the branch without a loading script, which datasets no longer runs
NAMED = {
    "sentences": Source("", "sentences", names=POLARITY),
    "trec": Source("CogComp/trec", "trec", hub_label="coarse_label", revision=PARQUET),
    "trec-50": Source("CogComp/trec", "trec", hub_label="fine_label", label="fine_label", revision=PARQUET),
    "sst2": Source("SetFit/sst2", "sst2", names=POLARITY),
    "sst5": Source("SetFit/sst5", "sst5", names=SHADES),
    "imdb": Source("stanfordnlp/imdb", "imdb", names=POLARITY),
    "ag_news": Source("fancyzhx/ag_news", "ag_news", names=("World", "Sports", "Business", "Sci/Tech")),
}
TEXT_COLUMNS = ("text", "sentence")


def chosen(
    name: str,
    data_dir: str | None = None,
    train: str | None = None,
    test: str | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
) -> Corpus:
    """The corpus of two files where they are given, else the one of that name."""
    if train is None and test is None:
        return read(name, data_dir)
    if train is None or test is None:
        raise DataError("--train FILE and --test FILE go together: one of them is missing")
    files = (train, test, text_column, label_column)
    return replace(from_files(*files), files=files)


def read(name: str, data_dir: str | None = None) -> Corpus:
    """A set by name: bundled, from DIR/NAME/train.csv and test.csv (or tsv, jsonl, parquet), or from its hub.

    Raises DataError where it is unknown, or its files are missing, damaged or of another form.
    """
    if name not in NAMED:
        raise DataError(unknown("text set", name, NAMED) + "; your own goes by --train FILE --test FILE")
    source = NAMED[name]
    if data_dir is None and name != "sentences":
        return from_hub(name, source)
    folder = BUNDLED if data_dir is None else Path(data_dir) / source.folder
    train, test = (find(folder, split) for split in ("train", "test"))
    return from_files(train, test, None, source.label, name, source.names)


def find(folder: Path, split: str) -> Path:
    """The file of a split in a folder."""
    tried = [folder / f"{split}.{ending}{gz}" for ending in ENDINGS for gz in ("", ".gz")]
    found = next((path for path in tried if path.is_file()), None)
    if found is None:
        raise DataError(
            f"no {split} file in {folder}: put {split}.csv there, with columns text and label"
            " (or .tsv, .jsonl, .parquet; gzipped or not)"
        )
    return found


def from_files(
    train: str | Path,
    test: str | Path,
    text_column: str | None = None,
    label_column: str | None = None,
    name: str | None = None,
    names: tuple[str, ...] = (),
) -> Corpus:
    """A corpus from two files of rows; names are the classes' names where labels are 0, 1, 2 …"""
    parts = []
    for path in (Path(train), Path(test)):
        rows = list(read_rows(path))
        if not rows:
            raise DataError(f"{path} is empty: it holds no row of text")
        texts = column(rows, text_column, TEXT_COLUMNS, path, "--text-column")
        parts.append((texts, column(rows, label_column, ("label",), path, "--label-column")))
    (texts, labels), (test_texts, test_labels) = parts
    classes, numbers = encode(labels, test_labels, f"{train}", f"{test}")
    classes = names if classes == tuple(map(str, range(len(names)))) else classes
    stem = Path(train).name.split(".")[0]
    return Corpus(name or stem, Part(texts, numbers[0]), Part(test_texts, numbers[1]), classes)


def encode(
    train: Sequence[str], test: Sequence[str], train_name: str, test_name: str
) -> tuple[tuple[str, ...], tuple[list[int], list[int]]]:
    """The classes of the training labels, numbers before words, in order; and both splits coded."""
    classes = sorted(set(train), key=lambda label: (0, int(label), "") if whole(label) else (1, 0, label))
    if len(classes) < 2:
        raise DataError(f'{train_name} has one class only ("{classes[0]}"): at least two are needed')
    codes = {label: i for i, label in enumerate(classes)}
    strange = next((label for label in test if label not in codes), None)
    if strange is not None:
        raise DataError(
            f'{test_name} has the label "{strange}", which {train_name} never has'
            f" (known: {', '.join(classes)})"
        )
    return tuple(classes), ([codes[v] for v in train], [codes[v] for v in test])


def whole(word: str) -> bool:
    return word.removeprefix("-").isdecimal()


Row = dict[str, Any]


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a csv, tsv, jsonl or parquet file, gzipped or not (parquet never is)."""
    ending = path.name.removesuffix(".gz").rsplit(".", 1)[-1].lower()
    if ending not in ENDINGS:
        raise DataError(f"{path} is not a {', '.join('.' + e for e in ENDINGS)} file (or one with .gz)")
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    if ending == "parquet":
        return from_parquet(path)
    text = decoded(path)
    return (
        from_jsonl(text, path)
        if ending == "jsonl"
        else from_csv(text, path, "," if ending == "csv" else "\t")
    )


def decoded(path: Path) -> str:
    """The file as text. Raises DataError with the line of the first byte that is not UTF-8."""
    raw = path.read_bytes()
    try:
        raw = gzip.decompress(raw) if path.suffix == ".gz" else raw
    except (OSError, EOFError, zlib.error):
        raise DataError(f"{path} is damaged: it does not unzip; fetch it again") from None
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        raise DataError(f"{path}, line {line}: not UTF-8; save the file as UTF-8") from None


def from_csv(text: str, path: Path, delimiter: str) -> Iterator[Row]:
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


def from_jsonl(text: str, path: Path) -> Iterator[Row]:
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


def from_parquet(path: Path) -> Iterator[Row]:
    import datasets

    try:
        with quiet(), tempfile.TemporaryDirectory() as cache:
            yield from datasets.Dataset.from_parquet(str(path), cache_dir=cache, keep_in_memory=True)
    except Exception as error:  # pyarrow and datasets have a dozen ways to say no
        raise DataError(f"{path} is not a readable parquet file ({type(error).__name__})") from None


def column(rows: list[Row], wanted: str | None, usual: Sequence[str], path: Path, option: str) -> list[str]:
    """The values of a column as strings: the wanted one, or the first of the usual names."""
    known = list(rows[0])
    name = wanted or next((n for n in usual if n in known), usual[0])
    if name not in known:
        raise DataError(f"{path}: {unknown('column', name, known)}; give {option}")
    empty = next((i for i, row in enumerate(rows, 1) if row.get(name) is None), None)
    if empty is not None:
        raise DataError(f'{path}: row {empty} has no "{name}"')
    return [str(row[name]).strip() for row in rows]


def from_hub(name: str, source: Source) -> Corpus:
    """A named set through the `datasets` package, downloaded once into its cache."""
    import datasets

    try:
        with quiet():
            splits = datasets.load_dataset(source.hub, revision=source.revision)
        train, test = splits["train"], splits["test"]
    except Exception as error:  # the network, the hub, the cache: datasets passes them all on
        raise DataError(
            f"{name} could not be fetched from the hub ({type(error).__name__}): put train.csv and test.csv"
            f" with columns text and {source.label} into DIR/{source.folder} and give --data-dir DIR"
        ) from None
    kind = train.features[source.hub_label]
    named = kind.int2str if hasattr(kind, "int2str") else str
    labels, test_labels = ([named(v) for v in part[source.hub_label]] for part in (train, test))
    classes, numbers = encode(labels, test_labels, f"{name}'s train split", f"{name}'s test split")
    classes = source.names if classes == tuple(map(str, range(len(source.names)))) else classes
    texts, test_texts = (list(map(str, part["text"])) for part in (train, test))
    return Corpus(name, Part(texts, numbers[0]), Part(test_texts, numbers[1]), classes)


@contextmanager
def quiet() -> Iterator[None]:
    """No progress bars of `datasets` among our words."""
    import datasets

    before = datasets.is_progress_bar_enabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if before:
            datasets.enable_progress_bars()
