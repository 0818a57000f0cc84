"""Text as a Dataset: tokens, a vocabulary and frozen word vectors make items (length, dim) of it.

Token ids are stored and become vectors batch by batch, so that 25,000 reviews of 400 words take 40 MB. Id 0
is padding, a vector of zeros, which networks leave out; id 1 an unknown word, zeros too, in its place.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from distill.data.dataset import Dataset
from distill.data.files.doubts import describe_case, describe_shared
from distill.data.images import load as load_images
from distill.data.models import is_model
from distill.data.texts import Corpus, TextSplit, load_corpus, load_tokenizer, tokenize
from distill.data.vectors import SPECIAL_WORDS, check_known, load_vectors, look_up_vectors
from distill.errors import DataError

PAD, UNKNOWN = 0, 1
MAX_LENGTH = 200  # words of a text, where the longest is longer and max_length is not given


@dataclass(frozen=True, repr=False)
class TextDataset(Dataset):
    """One split of a set of texts: items (N, max_length) int32 are token ids, vectors (V, dim) their vectors.

    vocabulary holds the V words. learned_length is the length of the sequences that a distillation learns,
    word_dropout the share of words that an outer step leaves out; metadata says how the items were made;
    words_beyond counts the words that are not read.
    """

    vectors: Tensor
    vocabulary: tuple[str, ...]
    learned_length: int
    word_dropout: float
    metadata: dict[str, Any]
    words_beyond: int = 0  # of the texts of a whole split, behind the first max_length of each

    @property
    def shape(self) -> tuple[int, ...]:
        """(max_length, dim); batch() leaves out the padding that all its items share."""
        return (self.items.shape[1], self.vectors.shape[1])

    def batch(self, indices: Tensor | slice) -> tuple[Float[Tensor, "b length dim"], Int[Tensor, " b"]]:
        """x, the words' vectors, as long as the longest of these texts; and y."""
        ids = self.items[indices]
        longest = max(1, int((ids != PAD).any(dim=0).sum()))
        return self.vectors[ids[:, :longest].long()], self.labels[indices]

    def matches_items(self, items: Tensor) -> bool:
        """Whether items are sequences of vectors of the same dim; their length is free."""
        return items.ndim == 3 and items.shape[2] == self.vectors.shape[1]

    def initial_items(self, indices: Tensor) -> Float[Tensor, "b learned dim"]:
        """Real texts as long as the learned ones: their known words, again and again."""
        return torch.stack([self.vectors[self.repeat_words(ids)] for ids in self.items[indices].long()])

    def repeat_words(self, ids: Int[Tensor, " length"]) -> Int[Tensor, " learned"]:
        """The known words of a text, repeated up to the learned length; any words where it has none."""
        word_ids = ids[ids > UNKNOWN]
        if len(word_ids) == 0:
            word_ids = self.used_words()
        return word_ids[torch.arange(self.learned_length, device=ids.device) % len(word_ids)]

    def used_words(self) -> Int[Tensor, " words"]:
        """The ids of the words with a vector in these texts, of all in the table; all, if none has."""
        counts = torch.bincount(self.items.flatten(), minlength=len(self.vectors))
        used = counts[UNKNOWN + 1 :].nonzero()[:, 0] + UNKNOWN + 1
        return used if len(used) else torch.arange(UNKNOWN + 1, len(self.vectors), device=used.device)

    def draw_noise(self, n: int, generator: torch.Generator) -> Float[Tensor, "n learned dim"]:
        """Normal numbers with the spread of the vectors of these texts' words."""
        noise = torch.randn(n, self.learned_length, self.vectors.shape[1], generator=generator)
        return noise.to(self.vectors) * self.vectors[self.used_words()].std()

    def drop_words(self, x: Float[Tensor, "b length dim"], generator: torch.Generator) -> Tensor:
        """x without a random share of its words: what is learned generalises better (docs/lab-notes.md)."""
        mask = torch.rand(*x.shape[:2], 1, generator=generator) >= self.word_dropout
        return x * mask.to(x.device)

    def text_metadata(self, items: Float[Tensor, "n learned dim"]) -> dict[str, Any]:
        """What the file of a learned set says of its words: how they became vectors, and the nearest ones."""
        neighbours = {distance: self.nearest_words(items, distance) for distance in ("cosine", "euclidean")}
        nearest = [[words[0] for words in item] for item in neighbours["cosine"]]
        return {
            **self.metadata, "length": self.learned_length, "nearest": nearest, "neighbours": neighbours,
        }  # fmt: skip

    def nearest_words(
        self, items: Float[Tensor, "n learned dim"], distance: str, k: int = 5
    ) -> list[list[list[str]]]:
        """Per item and position the k nearest words of these texts, by "cosine" or "euclidean" distance."""
        used = self.used_words()
        table, flat = self.vectors[used], items.detach().to(self.vectors).flatten(0, 1)
        if distance == "cosine":
            table, flat = (torch.nn.functional.normalize(t, dim=1) for t in (table, flat))
        rows = torch.cdist(flat, table).topk(min(k, len(table)), largest=False).indices.tolist()
        ids = used.tolist()
        words = [[self.vocabulary[ids[i]] for i in row] for row in rows]
        return [words[i : i + items.shape[1]] for i in range(0, len(words), items.shape[1])]

    def coverage_notes(self) -> list[str]:
        """Sentences on words that have no vector or are not read, and on texts without a word."""
        is_word, has_vector = self.items != PAD, self.items > UNKNOWN
        percent = 100 * has_vector.sum().item() / max(1, is_word.sum().item())
        notes = [f"{self.name}: {percent:.1f} % of the words of {len(self)} texts have a vector"]
        if self.words_beyond:
            share = 100 * self.words_beyond / (self.words_beyond + is_word.sum().item())
            notes[0] += (
                f"; {share:.1f} % of the words are beyond the first {self.items.shape[1]} of their text and"
                " are not read (--max-length reads more)"
            )
        if empty := int((~has_vector.any(dim=1)).sum()):
            notes.append(f"{self.name}: {empty} of {len(self)} texts hold no word with a vector")
        return [*self.remarks, *notes]


def embed_corpus(
    corpus: Corpus,
    vectors: str,
    tokenizer: str = "basic_english",
    unknown_words: str = "zeros",
    max_length: int | None = None,
    learned_length: int = 10,
    word_dropout: float = 0.0,
    device: str = "cpu",
    unknown_spread: float | None = None,
) -> tuple[TextDataset, TextDataset]:
    """(train, test) of a corpus: its words with a vector, in texts of at most max_length words.

    vectors is a file or a name, as load_vectors() takes it, or that of a pretrained model, whose tokens are
    then the words. unknown_words "zeros" gives words without a vector zeros, each in its place;
    "drawn" draws a vector for each, with unknown_spread or the spread of these words' vectors. max_length is
    by default the longest training text's, at most 200. Raises DataError for an unknown tokenizer or vectors.
    """
    if is_model(vectors):
        from distill.data.models.tokens import embed_tokens

        sizes = (max_length, learned_length, word_dropout)
        return embed_tokens(corpus, vectors, (tokenizer, unknown_words), *sizes, device)
    split_words = load_tokenizer(tokenizer)
    tokens = {
        split: tokenize(texts, split_words)
        for split, texts in (("train", corpus.train.texts), ("test", corpus.test.texts))
    }
    words = build_vocabulary(word for texts in tokens.values() for text in texts for word in text)
    word_vectors = load_vectors(vectors, set(words))
    spread = unknown_spread or float(word_vectors.vectors.std())
    vocabulary, table = look_up_vectors(words, word_vectors, unknown_words, spread)
    check_known(tokens, set(vocabulary), f"of {corpus.name}", word_vectors.name)
    longest = max_length or min(MAX_LENGTH, max(1, *(len(text) for text in tokens["train"])))
    width = min(longest, max(1, *(len(text) for texts in tokens.values() for text in texts)))
    metadata = {
        "tokenizer": tokenizer, "vectors": word_vectors.name, "checksum": word_vectors.checksum,
        "dim": table.shape[1], "max_length": longest, "unknown": unknown_words,
        "files": list(corpus.files), **({"unknown_spread": spread} if unknown_words == "drawn" else {}),
    }  # fmt: skip
    ids, table = {word: i for i, word in enumerate(vocabulary)}, table.to(device)

    def embed(texts: list[list[str]], split: TextSplit) -> TextDataset:
        items, labels = encode_tokens(texts, ids, width).to(device), torch.tensor(split.labels, device=device)
        return TextDataset(
            corpus.name, items, labels, corpus.classes, (0.0,), (1.0,), table, vocabulary, learned_length,
            word_dropout, metadata, sum(max(0, len(text) - width) for text in texts),
        )  # fmt: skip

    doubts = describe_case(corpus.name, corpus.classes)
    doubts += describe_shared(corpus.name, corpus.train.texts, corpus.test.texts)
    train = replace(embed(tokens["train"], corpus.train), remarks=tuple(doubts))
    return train, embed(tokens["test"], corpus.test)


def build_vocabulary(words: Iterable[str]) -> list[str]:
    """All different words, the frequent ones first."""
    from torchtext.vocab import Vocab

    return Vocab(Counter(words), specials=list(SPECIAL_WORDS)).itos[len(SPECIAL_WORDS) :]


def encode_tokens(texts: list[list[str]], ids: dict[str, int], length: int) -> Int[Tensor, "N {length}"]:
    """Token ids, int32, cut and padded to length."""
    rows = torch.zeros(len(texts), length, dtype=torch.int32)
    for row, text in zip(rows, texts, strict=True):
        codes = [ids.get(word, UNKNOWN) for word in text[:length]]
        row[: len(codes)] = torch.tensor(codes, dtype=torch.int32)
    return rows


Files = tuple[str | None, ...]  # train, test, text column, label column


def load_real_data(
    text: dict[str, Any] | None,
    name: str,
    is_original: bool,
    files: Files,
    data_dir: str | None,
    vectors: str | None,
    device: str,
    size: int | None = None,
    **kept: Any,
) -> tuple[Dataset, Dataset]:
    """(train, test) for a distilled set: images where its `text` metadata is None, else texts.

    is_original: these are the data that the set was learned from, and come from the set's own files if it
    was learned from files and no others are named. size: what images were resized to; kept: how load() keeps
    them.
    """
    if text is None:
        return load_images(name, data_dir, device, size, **kept)
    if is_original and not any(files):
        files = tuple(text["files"])
    return embed_like_set(text, load_corpus(name, data_dir, *files), vectors, device)


def embed_like_set(
    text: dict[str, Any], corpus: Corpus, vectors: str | None, device: str
) -> tuple[Dataset, Dataset]:
    """(train, test) with words made into vectors, or texts into embeddings, as a set's `text` metadata says.

    vectors: another place of the same file, or of the same encoder. Raises DataError where they differ.
    """
    if "encoder" in text:
        from distill.data.encoders.dataset import encode_like_set

        return encode_like_set(text, corpus, vectors, device)
    train, test = embed_corpus(
        corpus, vectors or text["vectors"], text["tokenizer"], text["unknown"],
        text["max_length"], text["length"], device=device, unknown_spread=text.get("unknown_spread"),
    )  # fmt: skip
    for key in ("dim", "checksum"):
        if train.metadata[key] != text[key]:
            raise DataError(
                f"the set was learned with the vectors {text['vectors']}, whose {key} is {text[key]};"
                f" that of {train.metadata['vectors']} is {train.metadata[key]}: give --vectors the same file"
            )
    return train, test
