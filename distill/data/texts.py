"""Where texts come from, the bundled sentences, named sets, a user's own files; and the words that they have.

Everything becomes a Corpus: strings and class numbers, train and test. embedding.py makes vectors of it.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from distill.data import TEXT_SETS, TextSet
from distill.data.files.labels import encode_labels
from distill.data.files.rows import ENDINGS, LABEL_KINDS, hide_progress_bars, read_rows, select_column
from distill.errors import DataError, unknown

BUNDLED = Path(__file__).parent / "bundled" / "sentences"
TEXT_COLUMNS = ("text", "sentence")
Tokenizer = Callable[[str], list[str]]
TOKENIZERS = ("basic_english", "split", "spacy", "moses", "toktok", "revtok", "subword")


class TextSplit(NamedTuple):
    """One split: a class number per text."""

    texts: list[str]
    labels: list[int]


@dataclass(frozen=True)
class Corpus:
    """A whole set of texts: two splits and the names of the classes."""

    name: str
    train: TextSplit
    test: TextSplit
    classes: tuple[str, ...]
    files: tuple[str | None, ...] = ()  # a user's own: train, test, text column, label column


def load_corpus(
    name: str,
    data_dir: str | None = None,
    train: str | None = None,
    test: str | None = None,
    text_column: str | None = None,
    label_column: str | None = None,
) -> Corpus:
    """The corpus of two files where they are named, else the set of that name. Raises DataError."""
    if train is None and test is None:
        return load_named_corpus(name, data_dir)
    if train is None or test is None:
        raise DataError("--train FILE and --test FILE go together: one of them is missing")
    if Path(train).resolve() == Path(test).resolve():
        raise DataError(
            f"--train and --test are one file, {test}: set rows aside that no network learns from"
        )
    files = (train, test, text_column, label_column)
    return replace(read_corpus(*files), files=files)


def load_named_corpus(name: str, data_dir: str | None = None) -> Corpus:
    """A set by name: bundled, from DIR/NAME/train.csv and test.csv (or tsv, jsonl, parquet), or from its hub.

    Raises DataError where it is unknown, or its files are missing, damaged or of another form.
    """
    if name not in TEXT_SETS:
        raise DataError(unknown("text set", name, TEXT_SETS) + "; your own goes by --train FILE --test FILE")
    text_set = TEXT_SETS[name]
    if data_dir is None and text_set.hub:
        return load_from_hub(name, text_set)
    folder = BUNDLED if data_dir is None else Path(data_dir) / text_set.folder
    train, test = (find_split_file(folder, split) for split in ("train", "test"))
    return read_corpus(train, test, None, text_set.label, name, text_set.classes)


def find_split_file(folder: Path, split: str) -> Path:
    """The file of a split in a folder. Raises DataError."""
    candidates = [folder / f"{split}.{ending}{gz}" for ending in ENDINGS for gz in ("", ".gz")]
    path = next((path for path in candidates if path.is_file()), None)
    if path is None:
        raise DataError(
            f"no {split} file in {folder}: put {split}.csv there, with columns text and label"
            " (or .tsv, .jsonl, .parquet; gzipped or not)"
        )
    return path


def read_corpus(
    train: str | Path,
    test: str | Path,
    text_column: str | None = None,
    label_column: str | None = None,
    name: str | None = None,
    class_names: tuple[str, ...] = (),
) -> Corpus:
    """A corpus from two files of rows; class_names are used where the labels are 0, 1, 2 …"""
    splits = []
    for path in (Path(train), Path(test)):
        rows = list(read_rows(path))
        if not rows:
            raise DataError(f"{path} is empty: it holds no row of text")
        texts = select_column(rows, text_column, TEXT_COLUMNS, path, "--text-column")
        labels = select_column(rows, label_column, ("label",), path, "--label-column", LABEL_KINDS)
        splits.append((texts, labels))
    (texts, train_labels), (test_texts, test_labels) = splits
    classes, (numbers, test_numbers) = encode_labels(train_labels, test_labels, f"{train}", f"{test}")
    return Corpus(
        name or Path(train).name.split(".")[0],
        TextSplit(texts, numbers),
        TextSplit(test_texts, test_numbers),
        name_classes(classes, class_names),
    )


def name_classes(classes: tuple[str, ...], names: tuple[str, ...]) -> tuple[str, ...]:
    """The names where the classes are 0, 1, 2 … of as many; else the classes as they are."""
    return names if classes == tuple(map(str, range(len(names)))) else classes


def load_from_hub(name: str, text_set: TextSet) -> Corpus:
    """A named set through the `datasets` package, downloaded once into its cache. Raises DataError."""
    import datasets

    try:
        with hide_progress_bars():
            splits = datasets.load_dataset(text_set.hub, revision=text_set.revision)
        train, test = splits["train"], splits["test"]
    except Exception as error:  # the network, the hub, the cache: datasets passes them all on
        raise DataError(
            f"{name} could not be fetched from the hub ({type(error).__name__}): put train.csv and test.csv"
            f" with columns text and {text_set.label} into DIR/{text_set.folder} and give --data-dir DIR"
        ) from None
    feature = train.features[text_set.hub_label]
    to_word = feature.int2str if hasattr(feature, "int2str") else str
    labels, test_labels = ([to_word(v) for v in split[text_set.hub_label]] for split in (train, test))
    classes, (numbers, test_numbers) = encode_labels(
        labels, test_labels, f"{name}'s train split", f"{name}'s test split"
    )
    texts, test_texts = (list(map(str, split["text"])) for split in (train, test))
    return Corpus(
        name,
        TextSplit(texts, numbers),
        TextSplit(test_texts, test_numbers),
        name_classes(classes, text_set.classes),
    )


def tokenize(texts: list[str], split_words: Tokenizer) -> list[list[str]]:
    """The words of each text, one string object per word: IMDB has 12 million words, 150,000 different."""
    return [[sys.intern(word) for word in split_words(text)] for text in texts]


def load_tokenizer(name: str) -> Tokenizer:
    """torchtext's tokenizer of that name; "split" parts words at spaces. Raises DataError."""
    from torchtext.data.utils import get_tokenizer

    if name not in TOKENIZERS:
        raise DataError(unknown("tokenizer", name, TOKENIZERS))
    try:
        return get_tokenizer(None if name == "split" else name)
    except Exception as error:  # whatever the missing package behind the tokenizer makes torchtext raise
        raise DataError(f'the tokenizer "{name}" needs its package ({error}): use basic_english') from None
