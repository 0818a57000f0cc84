"""Three networks of different kinds that train on the same sentences: how each reads texts, and its scores.

A row of sentences is trained by Adam in whole batches, for several numbers of steps at once. The number that
does best on held-out texts counts: each row has it at its own best.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distill.data.embedding import TextDataset, embed_corpus
from distill.data.encoders.dataset import EncodedDataset, encode_corpus
from distill.data.texts import Corpus, load_tokenizer, tokenize
from distill.inner.losses import soft_cross_entropy
from distill.networks.build import build_network
from distill.randomness import seed_torch, stream

LEARNERS = {"textcnn": (0.003, (10, 30, 100)), "probe": (0.001, (30, 100, 300, 1000)),
            "bag of words": (0.03, (30, 100, 300, 1000))}  # fmt: skip  # rate, and steps that are tried
PART = 500  # texts that a network reads at once


@dataclass(frozen=True)
class Texts:
    """One split of a set of texts, as the three kinds of networks read it: row i is the same text in each."""

    encoded: EncodedDataset
    words: TextDataset
    tokens: list[list[str]]


@dataclass(frozen=True)
class Sentences:
    """A row of the benchmark: places in the training texts, and labels times weights (n, classes)."""

    places: Tensor
    labels: Tensor


def read_texts(corpus: Corpus, encoder: str, vectors: str, cache: str | None) -> tuple[Texts, Texts]:
    """(train, test) for all three kinds of networks."""
    encoded, words = encode_corpus(corpus, encoder, cache=cache), embed_corpus(corpus, vectors)
    split_words = load_tokenizer("basic_english")
    tokens = [tokenize(list(split.texts), split_words) for split in (corpus.train, corpus.test)]
    train, test = (Texts(*parts) for parts in zip(encoded, words, tokens, strict=True))
    return train, test


def score(
    learner: str, sentences: Sentences, train: Texts, held_out: Tensor, test: Texts, draw: int
) -> dict[int, tuple[float, Tensor]]:
    """By number of steps: the held-out accuracy, and which test texts are right (N,)."""
    network, x, read = prepare(learner, sentences.places, train, draw)
    rate, steps = LEARNERS[learner]
    y, wanted = train.encoded.labels[held_out], test.encoded.labels
    everything = torch.arange(len(wanted))
    optimiser, scores = torch.optim.Adam(network.parameters(), lr=rate), {}
    for step in range(1, max(steps) + 1):
        optimiser.zero_grad()
        soft_cross_entropy(network(x), sentences.labels).backward()
        optimiser.step()
        if step in steps:
            right = classify(network, read, test, everything) == wanted
            share = (classify(network, read, train, held_out) == y).float().mean()
            scores[step] = (float(share), right)
    return scores


def prepare(learner: str, places: Tensor, train: Texts, draw: int) -> tuple[nn.Module, Tensor, Any]:
    """A new network, its items, and the function (texts, places) → items by which it reads others."""
    classes = len(train.encoded.classes)
    if learner == "bag of words":
        words = sorted({word for i in places.tolist() for word in train.tokens[i]})
        ids = {word: i for i, word in enumerate(words)}

        def read(texts: Texts, rows: Tensor) -> Tensor:
            return count_words([texts.tokens[i] for i in rows.tolist()], ids)
    else:

        def read(texts: Texts, rows: Tensor) -> Tensor:
            items, _ = (texts.words if learner == "textcnn" else texts.encoded).batch(rows)
            return items

    x = read(train, places)
    name = "textcnn" if learner == "textcnn" else "linear"
    with seed_torch(stream("sentences", learner, draw)):
        network = build_network(name, tuple(x.shape[1:]), classes)
    return network, x, read


def count_words(tokens: Sequence[Sequence[str]], ids: dict[str, int]) -> Tensor:
    """Which of the words each text holds, scaled to length 1."""
    bags = torch.zeros(len(tokens), len(ids))
    for row, words in zip(bags, tokens, strict=True):
        row[[ids[word] for word in set(words) if word in ids]] = 1
    return F.normalize(bags, dim=1)


@torch.no_grad()
def classify(network: nn.Module, read: Any, texts: Texts, rows: Tensor) -> Tensor:
    """The classes that a network gives these texts."""
    return torch.cat([network(read(texts, part)).argmax(dim=1) for part in rows.split(PART)])


def train_teachers(train: Texts, rest: Tensor) -> dict[str, Tensor]:
    """Probabilities (N, classes) for all training texts by teachers that were trained on the rest alone.

    A linear probe on embeddings; and its mean with a linear network on bags of words.
    """
    counts: dict[str, int] = {}
    for i in rest.tolist():
        for word in train.tokens[i]:
            counts.setdefault(word, len(counts))
    probe = train_linear(train.encoded.batch(slice(None))[0], train.encoded.labels, rest)
    bag = train_linear(10 * count_words(train.tokens, counts), train.encoded.labels, rest)
    return {"probe": probe, "probe and bag of words": (probe + bag) / 2}


def train_linear(x: Tensor, y: Tensor, rest: Tensor, steps: int = 400, rate: float = 0.002) -> Tensor:
    """Probabilities by a linear network after 400 steps of Adam in batches of 128."""
    with seed_torch(stream("sentences", "teacher")):
        network = nn.Linear(x.shape[1], int(y.max()) + 1)
    optimiser, generator = torch.optim.Adam(network.parameters(), lr=rate), stream("sentences", "batches")
    for _ in range(steps):
        rows = rest[torch.randint(len(rest), (128,), generator=generator)]
        optimiser.zero_grad()
        F.cross_entropy(network(x[rows]), y[rows]).backward()
        optimiser.step()
    with torch.no_grad():
        return network(x).softmax(dim=1)
