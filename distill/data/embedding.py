"""Text as a Dataset: tokens, vocabulary and frozen word vectors make items (length, dim); nearest words back.

Token ids are kept and embedded per batch, so that 25,000 reviews of 400 words take 40 MB. Id 0 is padding,
a vector of zeros; id 1 an unknown word, zeros too unless it is drawn. Networks leave out vectors of zeros.
"""

import sys
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from distill.data import texts as corpora
from distill.data import vectors
from distill.data.dataset import Dataset
from distill.data.images import load as images
from distill.data.texts import Corpus, Part
from distill.errors import DataError, unknown
from distill.randomness import stream

PAD, UNKNOWN = 0, 1
TOKENIZERS = ("basic_english", "split", "spacy", "moses", "toktok", "revtok", "subword")
UNKNOWNS = ("zeros", "drawn")


@dataclass(frozen=True)
class Text(Dataset):
    """One split of a set of texts: items (N, max_length) int32 are token ids, table (V, dim) their vectors.

    learned is the length of the sequences that a distillation learns, dropped the share of words that an
    outer step leaves out; facts say how the items were made.
    """

    table: Tensor
    words: tuple[str, ...]
    learned: int
    dropped: float
    facts: dict[str, Any]

    @property
    def shape(self) -> tuple[int, ...]:
        """(max_length, dim); batch() answers without the padding that all its items share."""
        return (self.items.shape[1], self.table.shape[1])

    def batch(self, indices: Tensor | slice) -> tuple[Float[Tensor, "b length dim"], Int[Tensor, " b"]]:
        """x, the words' vectors, as long as the longest of these texts; and y."""
        ids = self.items[indices]
        longest = max(1, int((ids != PAD).any(dim=0).sum()))
        return self.table[ids[:, :longest].long()], self.labels[indices]

    def fits(self, items: Tensor) -> bool:
        """Whether items are sequences of vectors of the same dim; their length is free."""
        return items.ndim == 3 and items.shape[2] == self.table.shape[1]

    def start(self, indices: Tensor) -> Float[Tensor, "b learned dim"]:
        """Real texts with which to start learning: their known words, again and again up to `learned`."""
        return torch.stack([self.table[self.repeated(ids)] for ids in self.items[indices].long()])

    def repeated(self, ids: Int[Tensor, " length"]) -> Int[Tensor, " learned"]:
        known = ids[ids > UNKNOWN]
        if len(known) == 0:
            known = torch.arange(UNKNOWN + 1, len(self.table), device=ids.device)
        return known[torch.arange(self.learned, device=ids.device) % len(known)]

    def noise(self, n: int, generator: torch.Generator) -> Float[Tensor, "n learned dim"]:
        """Normal numbers with the spread of the word vectors."""
        drawn = torch.randn(n, self.learned, self.table.shape[1], generator=generator)
        return drawn.to(self.table) * self.table[UNKNOWN + 1 :].std()

    def varied(self, x: Float[Tensor, "b length dim"], generator: torch.Generator) -> Tensor:
        """x without a random share of its words: the learned sentences generalise better (see LOG.md)."""
        kept = torch.rand(*x.shape[:2], 1, generator=generator) >= self.dropped
        return x * kept.to(x.device)

    def text(self, items: Float[Tensor, "n learned dim"]) -> dict[str, Any]:
        """What a set carries of words: how they became vectors, and the nearest words of learned items."""
        near = {kind: self.nearest(items, kind) for kind in ("cosine", "euclidean")}
        first = [[words[0] for words in item] for item in near["cosine"]]
        return {**self.facts, "length": self.learned, "nearest": first, "neighbours": near}

    def nearest(self, items: Float[Tensor, "n learned dim"], kind: str, k: int = 5) -> list[list[list[str]]]:
        """Per item and position the k nearest words, by cosine or Euclidean distance."""
        table, flat = self.table[UNKNOWN + 1 :], items.detach().to(self.table).flatten(0, 1)
        if kind == "cosine":
            table, flat = (torch.nn.functional.normalize(t, dim=1) for t in (table, flat))
        places = torch.cdist(flat, table).topk(min(k, len(table)), largest=False).indices.tolist()
        words = [[self.words[UNKNOWN + 1 + p] for p in row] for row in places]
        return [words[i : i + items.shape[1]] for i in range(0, len(words), items.shape[1])]

    def remarks(self) -> list[str]:
        """What a reader of this split's scores should know: how many words and texts are not understood."""
        words, known = self.items != PAD, self.items > UNKNOWN
        share = 100 * known.sum().item() / max(1, words.sum().item())
        said = [f"{self.name}: {share:.1f} % of the words of {len(self)} texts have a vector"]
        mute = int((~known.any(dim=1)).sum())
        if mute:
            said.append(f"{self.name}: {mute} of {len(self)} texts hold no word with a vector")
        return said


def load(
    corpus: Corpus,
    vectors_from: str,
    tokenizer: str = "basic_english",
    unknown_words: str = "zeros",
    max_length: int | None = None,
    learned: int = 10,
    dropped: float = 0.0,
    device: str = "cpu",
) -> tuple[Text, Text]:
    """(train, test) of a corpus: its words with a vector, in texts of at most max_length words.

    unknown_words "zeros" gives words without a vector zeros, which networks leave out; "drawn" gives each
    its own, with the spread of the vectors. max_length is by default the longest training text's, at most
    200. Raises DataError for an unknown tokenizer or vectors.
    """
    split = tokenizer_for(tokenizer)

    def parted(texts: list[str]) -> list[list[str]]:
        """One string object per word: IMDB has 12 million words, 150,000 different."""
        return [[sys.intern(word) for word in split(text)] for text in texts]

    tokens = {"train": parted(corpus.train.texts), "test": parted(corpus.test.texts)}
    vocabulary = vocabulary_of(word for texts in tokens.values() for text in texts for word in text)
    found = vectors.read(vectors_from, set(vocabulary))
    words, table = embedded(vocabulary, found, unknown_words)
    longest = max_length or min(200, max(1, *(len(text) for text in tokens["train"])))
    width = min(longest, max(1, *(len(text) for texts in tokens.values() for text in texts)))
    facts = {
        "tokenizer": tokenizer, "vectors": found.name, "checksum": found.checksum,
        "dim": table.shape[1], "max_length": longest, "unknown": unknown_words,
        "files": list(corpus.files),
    }  # fmt: skip
    ids, table = {word: i for i, word in enumerate(words)}, table.to(device)

    def made(texts: list[list[str]], part: Part) -> Text:
        items, labels = numbered(texts, ids, width).to(device), torch.tensor(part.labels, device=device)
        return Text(
            corpus.name, items, labels, corpus.classes, (0.0,), (1.0,), table, words, learned, dropped, facts
        )

    return made(tokens["train"], corpus.train), made(tokens["test"], corpus.test)


def tokenizer_for(name: str) -> Callable[[str], list[str]]:
    """torchtext's tokenizer of that name; "split" parts words at spaces."""
    from torchtext.data.utils import get_tokenizer

    if name not in TOKENIZERS:
        raise DataError(unknown("tokenizer", name, TOKENIZERS))
    try:
        return get_tokenizer(None if name == "split" else name)
    except Exception as error:  # whatever the package behind the tokenizer raises where it is not there
        raise DataError(f'the tokenizer "{name}" needs its package ({error}): use basic_english') from None


def vocabulary_of(words: Iterable[str]) -> list[str]:
    """All words, the frequent ones first, behind <pad> and <unk>."""
    from torchtext.vocab import Vocab

    return Vocab(Counter(words), specials=["<pad>", "<unk>"]).itos


def embedded(
    vocabulary: list[str], found: vectors.WordVectors, unknown_words: str
) -> tuple[tuple[str, ...], Float[Tensor, "V dim"]]:
    """The words that have a row, and their rows: zeros for <pad> and <unk>, then one each."""
    if unknown_words not in UNKNOWNS:
        raise DataError(unknown("choice for unknown words", unknown_words, UNKNOWNS))
    known = dict(zip(found.words, found.table, strict=True))
    spread = found.table.std()
    dim = found.table.shape[1]
    zeros = torch.zeros(dim)
    if unknown_words == "drawn":
        for word in vocabulary[2:]:
            known.setdefault(word, spread * torch.randn(dim, generator=stream("unknown word", word)))
    words = [word for word in vocabulary[2:] if word in known]
    return ("<pad>", "<unk>", *words), torch.stack([zeros, zeros, *(known[w] for w in words)])


def numbered(texts: list[list[str]], ids: dict[str, int], length: int) -> Int[Tensor, "N {length}"]:
    """Token ids, int32, cut and padded to length."""
    rows = torch.zeros(len(texts), length, dtype=torch.int32)
    for row, text in zip(rows, texts, strict=True):
        codes = [ids.get(word, UNKNOWN) for word in text[:length]]
        row[: len(codes)] = torch.tensor(codes, dtype=torch.int32)
    return rows


Files = tuple[str | None, ...]  # train, test, text column, label column


def real_for(
    facts: dict[str, Any] | None,
    name: str,
    own: bool,
    files: Files,
    data_dir: str | None,
    vectors_from: str | None,
    device: str,
    size: int | None = None,
) -> tuple[Dataset, Dataset]:
    """(train, test) for a distilled set whose `text` is facts: images where it is None, else texts.

    own: the set's own data, in its own files if it came from files; otherwise the named ones, or files.
    size: what images were resized to.
    """
    if facts is None:
        return images(name, data_dir, device, size)
    if own and not any(files):
        files = tuple(facts["files"])
    return for_set(facts, corpora.chosen(name, data_dir, *files), vectors_from, device)


def for_set(
    facts: dict[str, Any], corpus: Corpus, vectors_from: str | None, device: str
) -> tuple[Text, Text]:
    """(train, test) with words made into vectors as facts say. Raises DataError where vectors differ."""
    train, test = load(
        corpus, vectors_from or facts["vectors"], facts["tokenizer"], facts["unknown"],
        facts["max_length"], facts["length"], device=device,
    )  # fmt: skip
    for fact in ("dim", "checksum"):
        if train.facts[fact] != facts[fact]:
            raise DataError(
                f"the set was learned with the vectors {facts['vectors']}, whose {fact} is {facts[fact]};"
                f" that of {train.facts['vectors']} is {train.facts[fact]}: give --vectors the same file"
            )
    return train, test
