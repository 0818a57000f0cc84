"""Where texts come from: every form of file says the same, and every fault is one sentence."""

import gzip
import json
from pathlib import Path

import datasets
import pytest

from distill.data import TEXT_SETS
from distill.data.texts import load_corpus, load_named_corpus, read_corpus
from distill.errors import DataError

ROWS = [("a fine day", "good"), ('he said "no, thanks"', "bad"), ("None", "good"), ("two\nlines", "bad")]


def write(
    path: Path, rows: list[tuple[str, object]] = ROWS, columns: tuple[str, str] = ("text", "label")
) -> Path:
    """The rows in the form that the name of the file ends with."""
    form = path.name.removesuffix(".gz").rsplit(".", 1)[-1]
    if form == "parquet":
        datasets.Dataset.from_list([dict(zip(columns, r, strict=True)) for r in rows]).to_parquet(str(path))
        return path
    if form == "jsonl":
        text = "\n".join(json.dumps(dict(zip(columns, row, strict=True))) for row in rows)
    else:
        comma = "," if form == "csv" else "\t"
        quoted = [[f'"{str(v).replace(chr(34), 2 * chr(34))}"' for v in row] for row in [columns, *rows]]
        text = "\n".join(comma.join(row) for row in quoted) + "\n"
    raw = text.encode()
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


@pytest.mark.parametrize("form", ["csv", "csv.gz", "tsv", "tsv.gz", "jsonl", "jsonl.gz", "parquet"])
def test_every_form_of_file_says_the_same(tmp_path: Path, form: str) -> None:
    train, test = write(tmp_path / f"train.{form}"), write(tmp_path / f"test.{form}", ROWS[:2])
    corpus = read_corpus(train, test)
    assert corpus.train.texts == [text for text, _ in ROWS]
    assert corpus.classes == ("bad", "good")
    assert corpus.train.labels == [1, 0, 1, 0]
    assert corpus.test == (["a fine day", 'he said "no, thanks"'], [1, 0])


def test_a_next_line_character_ends_no_row(tmp_path: Path) -> None:
    """IMDB holds U+0085, at which str.splitlines() would break a text."""
    rows = [("one\x85two", "a"), ("three", "b")]
    for form in ("csv", "jsonl"):
        path = write(tmp_path / f"t.{form}", rows)
        assert read_corpus(path, path).train.texts == ["one\x85two", "three"]


def test_numbers_are_classes_in_their_own_order(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", [("x", 10), ("y", 9), ("z", 2)])
    assert read_corpus(path, path).classes == ("2", "9", "10")
    assert read_corpus(path, path).train.labels == [2, 1, 0]


def test_words_that_look_like_numbers_are_words(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", [("x", "--5"), ("y", "-"), ("z", "-5")])
    assert read_corpus(path, path).classes == ("-5", "-", "--5")


def test_columns_are_chosen_by_name(tmp_path: Path) -> None:
    path = write(tmp_path / "t.csv", columns=("review", "stars"))
    assert read_corpus(path, path, "review", "stars").classes == ("bad", "good")
    assert write(path, columns=("sentence", "label")) == path
    assert read_corpus(path, path).train.texts[0] == "a fine day"


def test_the_bundled_sentences_are_complete() -> None:
    corpus = load_named_corpus("sentences")
    assert (len(corpus.train.texts), len(corpus.test.texts)) == (2400, 600)
    assert corpus.classes == ("negative", "positive")
    assert sum(corpus.train.labels) == 1209
    assert not set(corpus.test.texts) & {""}


@pytest.mark.parametrize(("name", "label", "classes"), [("trec", "label", 6), ("trec-50", "fine_label", 50)])
def test_a_named_set_is_read_from_a_folder(tmp_path: Path, name: str, label: str, classes: int) -> None:
    (tmp_path / "trec").mkdir()
    rows = [(f"what {i}", f"C{i % classes}") for i in range(100)]
    for split in ("train", "test"):
        write(tmp_path / "trec" / f"{split}.csv.gz", rows, ("text", label))
    corpus = load_named_corpus(name, str(tmp_path))
    assert (corpus.name, len(corpus.classes), len(corpus.train.texts)) == (name, classes, 100)


@pytest.mark.parametrize("name", [n for n in TEXT_SETS if n != "sentences"])
def test_a_named_set_comes_from_its_hub(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """A function stands in for load_dataset, since no test reaches the hub: it records what is requested."""
    text_set, requests = TEXT_SETS[name], []
    words = [f"w{i}" for i in range(len(text_set.classes) or 4)]
    features = datasets.Features(
        {"text": datasets.Value("string"), text_set.hub_label: datasets.ClassLabel(names=words)}
    )
    rows = {"text": ["a b"] * len(words), text_set.hub_label: list(range(len(words)))}
    split = datasets.Dataset.from_dict(rows, features=features)

    def load(hub: str, revision: str | None = None) -> dict:
        requests.append((hub, revision))
        return {"train": split, "test": split}

    monkeypatch.setattr(datasets, "load_dataset", load)
    corpus = load_named_corpus(name)
    assert requests == [(text_set.hub, text_set.revision)]
    assert corpus.classes == tuple(words)
    assert corpus.train.labels == rows[text_set.hub_label]


def test_without_a_hub_and_without_files_a_sentence_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(hub: str, revision: str | None = None) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr(datasets, "load_dataset", load)
    with pytest.raises(
        DataError, match=r"put train.csv and test.csv with columns text and label into DIR/imdb"
    ):
        load_named_corpus("imdb")


def write_fault(name: str, root: Path) -> tuple[Path, Path]:
    """A pair of files with one thing wrong."""
    good = write(root / "good.csv")
    path = root / "bad.csv"
    if name == "latin":
        path.write_bytes("text,label\nfine,good\ncaf\xe9,bad\n".encode("latin-1"))
    elif name == "short":
        path.write_text("text,label\nfine,good\nno label\n")
    elif name == "empty":
        path.write_text("text,label\n")
    elif name == "nothing":
        path.write_text("")
    elif name == "column":
        write(path, columns=("txet", "label"))
    elif name == "one":
        write(path, [("a", "good"), ("b", "good")])
    elif name == "strange":
        return good, write(path, [("a", "odd")])
    elif name == "json":
        path = root / "bad.jsonl"
        path.write_text('{"text": "a", "label": 1}\n[1, 2]\n')
    elif name == "null":
        path = root / "bad.jsonl"
        path.write_text('{"text": "a", "label": 1}\n{"text": null, "label": 2}\n')
    elif name == "gzip":
        path = root / "bad.csv.gz"
        path.write_bytes(gzip.compress(b"text,label\n" * 99)[:-9])
    elif name == "parquet":
        path = root / "bad.parquet"
        path.write_bytes(b"PAR1 no")
    elif name == "kind":
        path = root / "bad.xlsx"
    elif name == "missing":
        path = root / "none.csv"
    return path, good


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("latin", r"bad.csv, line 3: not UTF-8"),
        ("short", r"bad.csv, line 3: not as many fields"),
        ("empty", r"bad.csv is empty"),
        ("nothing", r"bad.csv is empty"),
        (
            "column",
            r'no column called "text"; did you mean "txet"\? \(known: label, txet\); give --text-column',
        ),
        ("one", r'has one class only \("good"\)'),
        ("strange", r'bad.csv has the label "odd", which .*good.csv never has \(known: bad, good\)'),
        ("json", r"bad.jsonl, line 2: not a JSON object"),
        ("null", r'bad.jsonl: row 2 has no "text"'),
        ("gzip", r"bad.csv.gz is damaged"),
        ("parquet", r"bad.parquet is not a readable parquet file"),
        ("kind", r"bad.xlsx is not a .csv, .tsv, .jsonl, .parquet file"),
        ("missing", r"none.csv: no such file"),
    ],
)
def test_every_fault_is_one_sentence(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as error:
        read_corpus(*write_fault(name, tmp_path))
    assert "\n" not in str(error.value)


def test_one_of_two_files_is_not_enough() -> None:
    with pytest.raises(DataError, match="--train FILE and --test FILE go together"):
        load_corpus("sentences", None, "a.csv", None)


def test_an_unknown_set_gets_a_suggestion() -> None:
    with pytest.raises(DataError, match='no text set called "imbd"; did you mean "imdb"'):
        load_named_corpus("imbd")


def test_texts_are_not_measured_on_the_file_that_they_are_learned_from(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\nx,0\ny,1\n")
    with pytest.raises(DataError, match=r"--train and --test are one file, .*a.csv: set rows aside"):
        load_corpus("", None, str(path), str(tmp_path / "." / "a.csv"))


def test_a_folder_without_the_files_says_which(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"no train file in .*sst2: put train.csv there, with columns text and label"
    ):
        load_named_corpus("sst2", str(tmp_path))


def test_parquet_leaves_nothing_beside_the_file(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet")
    read_corpus(path, path)
    assert [p.name for p in tmp_path.iterdir()] == ["t.parquet"]
