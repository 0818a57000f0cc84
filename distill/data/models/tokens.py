"""Texts as the tokens of a pretrained model, whose word table makes vectors of them."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from distill.data.embedding import MAX_LENGTH, PAD, TextDataset
from distill.data.files.doubts import describe_case, describe_shared
from distill.data.models import OWN
from distill.data.models.files import PretrainedModel, load_model
from distill.data.texts import Corpus, TextSplit
from distill.data.vectors import SPECIAL_WORDS
from distill.errors import DataError


@dataclass(frozen=True, repr=False)
class TokenDataset(TextDataset):
    """One split of texts as a pretrained model's tokens, the first and last of which mark the text's ends."""

    def repeat_words(self, ids: Int[Tensor, " length"]) -> Int[Tensor, " learned"]:
        """A text's first token, those between again and again up to the learned length, and its last."""
        ids = ids[ids != PAD]
        inside = ids[1:-1] if len(ids) > 2 else ids
        repeated = inside[torch.arange(-1, self.learned_length - 1, device=ids.device) % len(inside)]
        repeated[0], repeated[-1] = ids[0], ids[-1]
        return repeated

    def drop_words(self, x: Float[Tensor, "b length dim"], generator: torch.Generator) -> Tensor:
        """x without a random share of its tokens; the first, whose output is read, stays."""
        return torch.cat([x[:, :1], super().drop_words(x[:, 1:], generator)], dim=1)


def embed_tokens(
    corpus: Corpus,
    name: str,
    asked: tuple[str, str],
    max_length: int | None,
    learned_length: int,
    word_dropout: float,
    device: str,
) -> tuple[TextDataset, TextDataset]:
    """(train, test) of a corpus as tokens of the model of a name, in texts of at most max_length tokens.

    max_length is by default the longest training text's, at most 200 and at most what the model reads. A text
    that is cut keeps its last token. asked: the tokenizer and the unknown words that the user asks for.
    Raises DataError where these are not the model's, it reads less, or knows no word of the texts.
    """
    check_own_words(name, *asked)
    model = load_model(name)
    tokens = {
        split: tokenize(model, part.texts) for split, part in (("train", corpus.train), ("test", corpus.test))
    }
    check_known(model, tokens["train"], corpus.name)
    longest = choose_length(model, max_length, learned_length, tokens["train"])
    width = min(longest, max(len(ids) for ids in (*tokens["train"], *tokens["test"])))
    used = sorted({token for texts in tokens.values() for ids in texts for token in ids})
    places = {token: place for place, token in enumerate(used, len(SPECIAL_WORDS))}
    zeros = torch.zeros(len(SPECIAL_WORDS), model.words.shape[1])
    table = torch.cat([zeros, model.words[used]]).to(device)
    vocabulary = (*SPECIAL_WORDS, *model.tokenizer.convert_ids_to_tokens(used))
    metadata: dict[str, Any] = {
        "tokenizer": OWN, "vectors": name, "checksum": model.checksum, "dim": table.shape[1],
        "max_length": longest, "unknown": "zeros", "files": list(corpus.files),
    }  # fmt: skip

    def embed(texts: list[list[int]], split: TextSplit) -> TokenDataset:
        items, labels = cut_and_pad(texts, places, width), torch.tensor(split.labels, device=device)
        return TokenDataset(
            corpus.name, items.to(device), labels, corpus.classes, (0.0,), (1.0,), table, vocabulary,
            learned_length, word_dropout, metadata, sum(max(0, len(ids) - width) for ids in texts),
        )  # fmt: skip

    doubts = describe_case(corpus.name, corpus.classes)
    doubts += describe_shared(corpus.name, corpus.train.texts, corpus.test.texts)
    train = replace(embed(tokens["train"], corpus.train), remarks=tuple(doubts))
    return train, embed(tokens["test"], corpus.test)


def check_own_words(model: str, tokenizer: str, unknown_words: str) -> None:
    """Raise DataError where words are to be made in another way than a pretrained model's."""
    for option, word, usual in (
        ("tokenizer", tokenizer, "basic_english"),
        ("unknown", unknown_words, "zeros"),
    ):
        if word not in (usual, OWN):
            raise DataError(f"--{option} {word} has no effect on {model}, which brings its own: leave it out")


def tokenize(model: PretrainedModel, texts: list[str]) -> list[list[int]]:
    """The token ids of each text, whole."""
    ids: list[list[int]] = model.tokenizer(texts, truncation=False, verbose=False)["input_ids"]
    return ids


def check_known(model: PretrainedModel, texts: list[list[int]], name: str) -> None:
    """Raise DataError where the tokenizer makes nothing but unknown words of all texts."""
    plain = {token for ids in texts for token in ids} - set(model.tokenizer.all_special_ids)
    if not plain:
        raise DataError(
            f"the tokenizer of {model.name} knows no word of {name}: give a model of the texts' language"
        )


def choose_length(model: PretrainedModel, asked: int | None, learned: int, texts: list[list[int]]) -> int:
    """How many tokens of a text are read. Raises DataError where the model reads fewer than are asked for."""
    for option, length in (("--max-length", asked), ("--synthetic-length", learned)):
        if length is not None and length > model.most:
            raise DataError(
                f"{option} {length}: {model.name} reads at most {model.most} tokens, give as many"
            )
    return asked or min(MAX_LENGTH, model.most, max(len(ids) for ids in texts))


def cut_and_pad(texts: list[list[int]], places: dict[int, int], width: int) -> Int[Tensor, "N {width}"]:
    """Places in the vocabulary, int32; a text that is too long loses what stands before its last token."""
    rows = torch.full((len(texts), width), PAD, dtype=torch.int32)
    for row, ids in zip(rows, texts, strict=True):
        kept = ids if len(ids) <= width else [*ids[: width - 1], ids[-1]]
        row[: len(kept)] = torch.tensor([places[token] for token in kept], dtype=torch.int32)
    return rows
