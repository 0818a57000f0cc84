"""EncodedDataset: texts as a Dataset of frozen embeddings (dim,), with the sentences that they came from."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from distill.data import CACHE
from distill.data.dataset import Dataset
from distill.data.encoders.cache import embed_texts
from distill.data.encoders.folder import EncoderFolder, read_encoder
from distill.data.encoders.mixture import fit_mixture, share_explained
from distill.data.encoders.model import Embeddings, compute_embeddings
from distill.data.files.doubts import describe_case, describe_shared
from distill.data.texts import Corpus, TextSplit
from distill.errors import DataError, cut_to

NEAREST, PARTS = 5, 5  # real sentences that are named beside an item, by similarity and as its mixture
LETTERS = 300  # of a sentence that a set's file names


@dataclass(frozen=True, repr=False)
class EncodedDataset(Dataset):
    """One split of a set of texts: items (N, dim) are embeddings, texts their N sentences.

    An item is normalised by one number, the root mean square of the training embeddings: embeddings of
    length 1 have numbers of about 1 / √dim, on which a network with usual weights learns slowly. metadata
    says how the embeddings were made; notes are sentences on texts that the model does not read in full.
    """

    texts: tuple[str, ...]
    metadata: dict[str, Any]
    notes: tuple[str, ...] = ()

    def select(self, indices: Tensor) -> "EncodedDataset":
        """The items at indices with their texts."""
        texts = tuple(self.texts[i] for i in indices.tolist())
        return replace(self, items=self.items[indices], labels=self.labels[indices], texts=texts)

    def coverage_notes(self) -> list[str]:
        """Sentences on texts that are longer than the model reads, and on tokens that it does not know."""
        return [*self.remarks, *self.notes]

    def text_metadata(self, items: Float[Tensor, "n dim"]) -> dict[str, Any]:
        """What the file of a learned set says of its items: the encoder, and the real sentences near each.

        nearest and similarity: the most similar training sentences and their cosines; mixture, weights and
        explained: at most five training sentences whose sum with these weights comes nearest to the item,
        and the share of its squared length that they explain.
        """
        atoms = self.items.detach().cpu().float()
        learned = items.detach().cpu().float() * self.std[0]  # mean 0
        cosines = F.normalize(learned, dim=1) @ F.normalize(atoms, dim=1).T
        similarity, nearest = cosines.topk(min(NEAREST, len(atoms)), dim=1)
        mixtures = [drop_zeros(*fit_mixture(atoms, item, PARTS)) for item in learned]
        explained = [
            share_explained(atoms, item, *mixture) for item, mixture in zip(learned, mixtures, strict=True)
        ]
        return {
            **self.metadata,
            "nearest": [self.list_sentences(row) for row in nearest],
            "similarity": [[round(v, 4) for v in row] for row in similarity.tolist()],
            "mixture": [self.list_sentences(places) for places, _ in mixtures],
            "weights": [[round(v, 4) for v in weights.tolist()] for _, weights in mixtures],
            "explained": [round(v, 4) for v in explained],
        }

    def sentence_metadata(self, places: Int[Tensor, " n"]) -> dict[str, Any]:
        """What the file of a set of real sentences says of them: the encoder, and each sentence in full.

        The nearest sentence of each item, and its whole mixture, is itself.
        """
        shown, ones = [[sentence] for sentence in self.list_sentences(places)], [[1.0]] * len(places)
        return {
            **self.metadata, "sentences": [self.texts[i] for i in places.tolist()], "nearest": shown,
            "similarity": ones, "mixture": shown, "weights": ones, "explained": [1.0] * len(places),
        }  # fmt: skip

    def list_sentences(self, places: Tensor) -> list[str]:
        """The texts at places, each at most 300 letters long."""
        return [cut_to(self.texts[i], LETTERS) for i in places.tolist()]


def drop_zeros(places: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """A mixture without the atoms whose weight is written as 0.0000: they fit the rounding of float32."""
    kept = weights >= 0.5e-4
    return places[kept], weights[kept]


def encode_corpus(
    corpus: Corpus,
    encoder: str,
    max_length: int | None = None,
    numbers: str = "float32",
    device: str = "cpu",
    cache: Path | str | None = None,
) -> tuple[EncodedDataset, EncodedDataset]:
    """(train, test) of a corpus as embeddings of an encoder: a folder, or a name of the hub.

    max_length: tokens of a text that are read, at most as many as the encoder reads. numbers: float32 or
    bfloat16, in which its layers compute. cache: the folder that keeps the embeddings. Raises UserError.
    """
    folder = shorten_texts(read_encoder(encoder), max_length)
    place = Path(cache) if cache else CACHE
    splits = [
        (split, embed_texts(split.texts, folder, place, device, numbers))
        for split in (corpus.train, corpus.test)
    ]
    scale = float(splits[0][1].vectors.square().mean().sqrt())
    metadata = {
        "encoder": encoder, "checksum": folder.checksum, "pooling": folder.pooling,
        "normalised": folder.normalised, "max_length": folder.max_length, "numbers": numbers,
        "dim": folder.dim, "files": list(corpus.files),
    }  # fmt: skip

    def build(split: TextSplit, embeddings: Embeddings) -> EncodedDataset:
        items, labels = embeddings.vectors.to(device), torch.tensor(split.labels, device=device)
        return EncodedDataset(
            corpus.name, items, labels, corpus.classes, (0.0,), (scale,), tuple(split.texts), metadata,
            tuple(describe_coverage(corpus.name, len(labels), embeddings, folder)),
        )  # fmt: skip

    train, test = (build(*split) for split in splits)
    doubts = describe_case(corpus.name, corpus.classes)
    doubts += describe_shared(corpus.name, corpus.train.texts, corpus.test.texts)
    doubts += sorted({remark for _, embeddings in splits for remark in embeddings.remarks})
    return replace(train, remarks=tuple(doubts)), test


def shorten_texts(folder: EncoderFolder, max_length: int | None) -> EncoderFolder:
    """The encoder that reads so many tokens of a text. Raises DataError where it cannot read as many."""
    if max_length is None:
        return folder
    if max_length > folder.max_length:
        raise DataError(
            f"--max-length {max_length} is more than the {folder.max_length} tokens that {folder.name} reads:"
            " give a smaller one, or leave it out"
        )
    return replace(folder, max_length=max_length)


def describe_coverage(name: str, count: int, embeddings: Embeddings, folder: EncoderFolder) -> list[str]:
    """'sst2: 12 of 6,920 texts are longer than the 256 tokens that … reads'; and unknown tokens."""
    notes = []
    if embeddings.longer:
        notes.append(
            f"{name}: {embeddings.longer:,} of {count:,} texts are longer than the {folder.max_length} tokens"
            f" that are read of a text by {folder.name}: their ends are not read"
        )
    if embeddings.known < 0.99:
        share = 100 * (1 - embeddings.known)
        notes.append(f"{name}: {share:.1f} % of the tokens of {count:,} texts are unknown to {folder.name}")
    return notes


def encode_like_set(
    text: dict[str, Any], corpus: Corpus, encoder: str | None, device: str
) -> tuple[EncodedDataset, EncodedDataset]:
    """(train, test) as a set's `text` metadata says. encoder: another place of the same one.

    Raises DataError where that is another encoder, or its files have changed.
    """
    folder = read_same_encoder(text, encoder)
    return encode_corpus(corpus, folder.name, text["max_length"], text["numbers"], device)


def encode_new_texts(
    texts: list[str], text: dict[str, Any], encoder: str | None, device: str
) -> tuple[Float[Tensor, "n dim"], list[str]]:
    """The embeddings of texts as a set's `text` metadata says, not cached; and what is not read of them."""
    folder = replace(read_same_encoder(text, encoder), max_length=text["max_length"])
    embeddings = compute_embeddings(texts, folder, device, text["numbers"])
    return embeddings.vectors.to(device), describe_coverage("these texts", len(texts), embeddings, folder)


def read_same_encoder(text: dict[str, Any], encoder: str | None) -> EncoderFolder:
    """The encoder that a set was learned with, at its place or at another. Raises DataError for any other."""
    name = encoder or text["encoder"]
    folder = read_encoder(name)
    for key in ("dim", "checksum", "pooling", "normalised"):
        if (value := getattr(folder, key)) != text[key]:
            raise DataError(
                f"the set was learned with the encoder {text['encoder']}, whose {key} is {text[key]}; that of"
                f" {name} is {value}: give --encoder the same one"
            )
    return folder
