"""Frozen word vectors: from a GloVe text file, an .npz, the bundled rows, or by name through torchtext."""

import gzip
import hashlib
import re
import ssl
import zlib
from codecs import BOM_UTF8
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from distill.data import CACHE
from distill.data.files.arrays import load_arrays
from distill.errors import DataError, unknown
from distill.randomness import stream

SPECIAL_WORDS = ("<pad>", "<unk>")
UNKNOWN_WORDS = ("zeros", "drawn")
BUNDLED = Path(__file__).parent / "bundled" / "sentences" / "vectors.npz"
GLOVE = re.compile(r"glove\.(6B|42B|840B|twitter\.27B)\.(\d+)d")
LONGEST_LINE = 2**20  # bytes: a word and 10,000 numbers take a tenth
WordRows = tuple[list[str], np.ndarray]  # words, and a row of float32 for each


@dataclass(frozen=True)
class WordVectors:
    """Words and one vector for each; the checksum is that of the file that they came from."""

    name: str
    words: tuple[str, ...]
    vectors: Float[Tensor, "words dim"]
    checksum: str


def load_vectors(source: str, vocabulary: Container[str]) -> WordVectors:
    """The vectors of a vocabulary from a file, from the package ("bundled"), or by GloVe's name.

    Words without a vector are left out. Raises DataError where there is no such file or name, or it is
    damaged.
    """
    path = find_vector_file(source)
    words, rows = read_npz(path, vocabulary) if path.suffix == ".npz" else read_glove(path, vocabulary)
    if not words:
        raise DataError(f"{source} holds a vector for none of the words of these texts")
    if rows.shape[1] < 2:
        raise DataError(f"{path} holds one number for each word: a vector has several")
    if not np.isfinite(rows).all():
        raise DataError(f"{path} holds vectors that are NaN or infinite")
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()
    return WordVectors(source, tuple(words), torch.from_numpy(rows), checksum)


def look_up_vectors(
    words: list[str], word_vectors: WordVectors, unknown_words: str, spread: float
) -> tuple[tuple[str, ...], Float[Tensor, "V dim"]]:
    """The words that have a vector, behind <pad> and <unk>; and their vectors, behind two of zeros.

    spread: the standard deviation of the vectors that are drawn. Raises DataError for unknown_words that are
    not of UNKNOWN_WORDS.
    """
    if unknown_words not in UNKNOWN_WORDS:
        raise DataError(unknown("choice for unknown words", unknown_words, UNKNOWN_WORDS))
    rows = dict(zip(word_vectors.words, word_vectors.vectors, strict=True))
    dim = word_vectors.vectors.shape[1]
    if unknown_words == "drawn":
        for word in words:
            rows.setdefault(word, spread * torch.randn(dim, generator=stream("unknown word", word)))
    vocabulary, zeros = [word for word in words if word in rows], torch.zeros(dim)
    return (*SPECIAL_WORDS, *vocabulary), torch.stack([zeros, zeros, *(rows[word] for word in vocabulary)])


def check_known(splits: dict[str, list[list[str]]], known: set[str], where: str, vectors: str) -> None:
    """Raise DataError where no word of a split's texts has a vector: all of them would be one text."""
    for split, texts in splits.items():
        if all(known.isdisjoint(text) for text in texts):
            raise DataError(
                f"{vectors} holds a vector for no word of the {split} texts {where}: give --vectors of their"
                " language, or the --text-column that holds the texts"
            )


def find_vector_file(source: str) -> Path:
    """The file behind a path or a name; the file of GloVe's names is downloaded once."""
    if source == "bundled":
        return BUNDLED
    if GLOVE.fullmatch(source) and not Path(source).is_file():
        return download_glove(source)
    if not Path(source).is_file():
        raise DataError(
            f"no word vectors at {source}: give --vectors a GloVe text file, an .npz with words and vectors,"
            ' "bundled", or a name such as glove.6B.100d'
        )
    return Path(source)


def download_glove(name: str) -> Path:
    """GloVe's text file of a name, fetched by torchtext if it is not in the cache."""
    path = CACHE / f"{name}.txt"
    if path.is_file():
        return path
    corpus, dim = GLOVE.fullmatch(name).groups()  # type: ignore[union-attr]
    try:
        with restore_certificate_checks():
            from torchtext.vocab import GloVe

            GloVe(name=corpus, dim=int(dim), cache=str(CACHE))
    except Exception as error:  # the network, the host, the archive: torchtext passes them all on
        raise DataError(
            f"the word vectors {name} could not be downloaded to {CACHE} ({type(error).__name__}): fetch"
            f" glove.{corpus}.zip from nlp.stanford.edu/projects/glove and give --vectors {name}.txt"
        ) from None
    return path


@contextmanager
def restore_certificate_checks() -> Iterator[None]:
    """Undo that torchtext 0.6 turns the check of certificates off for the whole process."""
    context = ssl._create_default_https_context
    try:
        yield
    finally:
        ssl._create_default_https_context = context


def read_npz(path: Path, vocabulary: Container[str]) -> WordRows:
    """An .npz with `words`, newline-joined UTF-8 bytes or strings, and `vectors` (words, dim)."""
    arrays = load_arrays(path, ("words", "vectors"))
    words, vectors = to_words(arrays["words"], path), arrays["vectors"]
    if vectors.dtype.kind not in "fiu":
        raise DataError(f"{path}: vectors must be real numbers, not {vectors.dtype}")
    if vectors.ndim != 2 or len(words) != len(vectors):
        raise DataError(f"{path} holds {len(words)} words and vectors of shape {vectors.shape}")
    picks = [i for i, word in enumerate(words) if word in vocabulary]
    return [words[i] for i in picks], vectors[picks].astype(np.float32)


def to_words(array: np.ndarray, path: Path) -> list[str]:
    """The words of an .npz: strings, or the bytes of all in one. Raises DataError."""
    try:
        if array.dtype.kind in "US" and array.ndim == 1:
            return [word.decode() if isinstance(word, bytes) else word for word in array.tolist()]
        return array.tobytes().decode().split("\n")
    except UnicodeDecodeError:
        raise DataError(f"{path}: words must be newline-joined UTF-8 bytes, or strings") from None


def read_glove(path: Path, vocabulary: Container[str]) -> WordRows:
    """GloVe's text form: a word and its numbers per line; a first line of two numbers is passed over."""
    words, rows, dim = [], [], None
    for number, line in enumerate(read_lines(path), 1):
        fields = line.rstrip().split(b" ")
        if number == 1 and len(fields) == 2 and all(map(bytes.isdigit, fields)):
            continue
        dim = dim or len(fields) - 1
        word = b" ".join(fields[:-dim]).decode("utf-8", "replace")
        if len(fields) <= dim:
            raise DataError(f"{path}, line {number}: {len(fields) - 1} numbers where line 1 has {dim}")
        if word in vocabulary:
            words.append(word)
            rows.append(parse_numbers(fields[-dim:], path, number))
    return words, np.array(rows, np.float32).reshape(len(words), dim or 0)


def read_lines(path: Path) -> Iterator[bytes]:
    """The lines of a file of vectors, unzipped where it is gzipped, without a byte-order mark."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            line = file.readline(LONGEST_LINE).removeprefix(BOM_UTF8)
            while line:
                if len(line) == LONGEST_LINE:
                    raise DataError(f"{path} has a line of more than {LONGEST_LINE:,} bytes: no word vectors")
                yield line
                line = file.readline(LONGEST_LINE)
    except (OSError, EOFError, zlib.error):
        raise DataError(f"{path} is damaged: it does not unzip; fetch it again") from None


def parse_numbers(fields: list[bytes], path: Path, line: int) -> list[float]:
    """The numbers of a line. Raises DataError that names the line."""
    try:
        return [float(field) for field in fields]
    except ValueError:
        raise DataError(f"{path}, line {line}: not a word and its numbers") from None
