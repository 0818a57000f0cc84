"""Word vectors: every form gives the same numbers, and every fault is one sentence."""

import gzip
import ssl
from pathlib import Path

import numpy as np
import pytest
import torch

from distill.data import vectors
from distill.errors import DataError

WORDS = ["the", "cat", "sat", "·"]
TABLE = np.sin(np.arange(12)).reshape(4, 3).astype(np.float32)


def write_glove(path: Path, header: str = "") -> Path:
    lines = [f"{w} {' '.join(str(v) for v in row)}" for w, row in zip(WORDS, TABLE, strict=True)]
    raw = (header + "\n".join(lines) + "\n").encode()
    path.write_bytes(gzip.compress(raw) if path.suffix == ".gz" else raw)
    return path


def write_npz(path: Path, words: list[str] = WORDS, table: np.ndarray = TABLE) -> Path:
    np.savez(path, words=np.frombuffer("\n".join(words).encode(), np.uint8), vectors=table)
    return path


@pytest.mark.parametrize("name", ["v.txt", "v.txt.gz", "v.npz", "headed.txt"])
def test_every_form_gives_the_same_numbers(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    header = "4 3\n" if name == "headed.txt" else ""
    _ = write_npz(path) if path.suffix == ".npz" else write_glove(path, header)
    result = vectors.load_vectors(str(path), {"cat", "·", "dog"})
    assert result.words == ("cat", "·")
    assert torch.equal(result.vectors, torch.from_numpy(TABLE[[1, 3]]))


def test_the_checksum_is_that_of_the_file(tmp_path: Path) -> None:
    path, path_with_header = write_glove(tmp_path / "a.txt"), write_glove(tmp_path / "b.txt", "4 3\n")
    checksums = {vectors.load_vectors(str(p), {"cat"}).checksum for p in (path, path, path_with_header)}
    assert len(checksums) == 2


def test_the_bundled_vectors_are_those_of_glove() -> None:
    result = vectors.load_vectors("bundled", {"good", "great", "terrible"})
    assert result.vectors.shape == (3, 50)
    good, great, terrible = (result.vectors[result.words.index(w)] for w in ("good", "great", "terrible"))
    near, far = (torch.cosine_similarity(good, vector, dim=0) for vector in (great, terrible))
    assert near > far


def test_named_vectors_are_downloaded_by_torchtext_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A function stands in for the download, which no test makes: it writes the file that torchtext would."""
    import torchtext.vocab

    requests = []

    def glove(name: str, dim: int, cache: str) -> None:
        requests.append((name, dim))
        ssl._create_default_https_context = ssl._create_unverified_context  # as torchtext 0.6 does
        write_glove(Path(cache) / f"glove.{name}.{dim}d.txt")

    monkeypatch.setattr(torchtext.vocab, "GloVe", glove)
    monkeypatch.setattr(vectors, "CACHE", tmp_path)
    before = ssl._create_default_https_context
    for _ in range(2):
        assert vectors.load_vectors("glove.6B.50d", {"cat"}).words == ("cat",)
    assert requests == [("6B", 50)]
    assert ssl._create_default_https_context is before


def test_no_network_is_a_sentence_that_says_what_to_fetch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torchtext.vocab

    def glove(name: str, dim: int, cache: str) -> None:
        raise OSError("no route")

    monkeypatch.setattr(torchtext.vocab, "GloVe", glove)
    monkeypatch.setattr(vectors, "CACHE", tmp_path)
    with pytest.raises(
        DataError, match=r"glove.6B.100d could not be downloaded .* give --vectors glove.6B.100d.txt"
    ):
        vectors.load_vectors("glove.6B.100d", {"cat"})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("the 1 2 3\ncat 1 2\n", "line 2: 2 numbers where line 1 has 3"),
        ("the 1 2 3\ncat 1 x 3\n", "line 2: not a word and its numbers"),
        ("the 1 2 3\ncat 1 nan 3\n", "NaN or infinite"),
        ("dog 1 2 3\n", "a vector for none of the words"),
    ],
)
def test_a_damaged_text_file_is_named_with_its_line(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "v.txt").write_text(content)
    with pytest.raises(DataError, match=message):
        vectors.load_vectors(str(tmp_path / "v.txt"), {"cat"})


def test_a_damaged_npz_is_refused(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "v.npz")
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match="is damaged or not an .npz file of plain arrays"):
        vectors.load_vectors(str(path), {"cat"})
    with pytest.raises(DataError, match=r"holds 3 words and vectors of shape \(4, 3\)"):
        vectors.load_vectors(str(write_npz(path, WORDS[:3])), {"cat"})


def test_a_missing_file_says_what_may_be_given() -> None:
    with pytest.raises(DataError, match=r"no word vectors at nowhere.txt: give --vectors a GloVe text file"):
        vectors.load_vectors("nowhere.txt", {"cat"})


@pytest.mark.parametrize("words", [np.array(WORDS), np.array([w.encode() for w in WORDS])], ids=["U", "S"])
def test_words_may_be_an_array_of_strings(tmp_path: Path, words: np.ndarray) -> None:
    np.savez(tmp_path / "v.npz", words=words, vectors=TABLE)
    result = vectors.load_vectors(str(tmp_path / "v.npz"), {"cat", "·"})
    assert result.words == ("cat", "·")
    assert torch.equal(result.vectors, torch.from_numpy(TABLE[[1, 3]]))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"vectors": TABLE.astype(complex)}, "vectors must be real numbers, not complex128"),
        ({"vectors": np.array(["a", "b", "c", "d"])}, "vectors must be real numbers, not <U1"),
        ({"vectors": np.array(1.0)}, r"holds 4 words and vectors of shape \(\)"),
        ({"words": np.frombuffer(b"\xff\xfe", np.uint8)}, "words must be newline-joined UTF-8 bytes"),
        (
            {"embeddings": TABLE, "vectors": None},
            "lacks vectors; it holds words, embeddings",
        ),
    ],
    ids=["complex-vectors", "string-vectors", "0-dimensional-vectors", "latin-words", "other-names"],
)
def test_vectors_that_are_no_table_of_numbers_are_refused(
    tmp_path: Path, arrays: dict[str, np.ndarray | None], message: str
) -> None:
    content = {"words": np.frombuffer("\n".join(WORDS).encode(), np.uint8), "vectors": TABLE, **arrays}
    np.savez(tmp_path / "v.npz", **{name: array for name, array in content.items() if array is not None})
    with pytest.raises(DataError, match=message):
        vectors.load_vectors(str(tmp_path / "v.npz"), {"cat"})


def test_a_byte_order_mark_does_not_lose_the_first_word(tmp_path: Path) -> None:
    path = write_glove(tmp_path / "v.txt")
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert vectors.load_vectors(str(path), {"the", "cat"}).words == ("the", "cat")


def test_one_number_for_each_word_is_no_vector(tmp_path: Path) -> None:
    """Its first line is no header either, and is not passed over."""
    (tmp_path / "v.txt").write_text("cat 0.5\ndog 1.5\n")
    with pytest.raises(DataError, match="holds one number for each word: a vector has several"):
        vectors.load_vectors(str(tmp_path / "v.txt"), {"cat"})


def test_200_mb_of_nuls_take_no_memory(tmp_path: Path) -> None:
    """As a line of a file of vectors: it is never held as a whole."""
    with gzip.open(tmp_path / "v.txt.gz", "wb", compresslevel=1) as file:
        for _ in range(20):
            file.write(bytes(10_000_000))
    with pytest.raises(DataError, match="has a line of more than 1,048,576 bytes: no word vectors"):
        vectors.load_vectors(str(tmp_path / "v.txt.gz"), {"cat"})
