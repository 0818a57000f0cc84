"""Texts as the tokens of a pretrained model."""

from typing import Any

import pytest
import torch

from distill.data.embedding import TextDataset, embed_corpus
from distill.data.models.files import load_model
from distill.data.texts import Corpus, TextSplit
from distill.errors import DataError
from distill.randomness import stream
from tests.helpers import FILLERS
from tests.pretrained import WORDS, write_model

LONG = " ".join([*FILLERS, *FILLERS])


@pytest.fixture(scope="module")
def name(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_model(tmp_path_factory.mktemp("models") / "tiny")


def embed(name: str, texts: list[str], **options: Any) -> tuple[TextDataset, TextDataset]:
    labels = [i % 2 for i in range(len(texts))]
    corpus = Corpus("mine", TextSplit(texts, labels), TextSplit(texts[:1], [0]), ("a", "b"))
    return embed_corpus(corpus, name, **options)


def test_a_text_is_its_tokens_rows_of_the_model_s_table(name: str) -> None:
    train, _ = embed(name, [f"{FILLERS[0]} {FILLERS[1]}", FILLERS[2]])
    words, table = ["[CLS]", FILLERS[0], FILLERS[1], "[SEP]"], load_model(name).words
    x, y = train.batch(slice(0, 2))
    assert torch.equal(x[0], table[[WORDS.index(word) for word in words]])
    assert [train.vocabulary[i] for i in train.items[0]] == words
    assert not x[1, 3:].any()
    assert y.tolist() == [0, 1]


def test_a_long_text_keeps_its_last_token_and_the_rest_is_counted(name: str) -> None:
    train, _ = embed(name, [LONG, FILLERS[0]], max_length=5)
    tokens = [train.vocabulary[i] for i in train.items[0]]
    assert tokens == ["[CLS]", *FILLERS[:3], "[SEP]"]
    assert train.words_beyond == 2 * len(FILLERS) + 2 - 5
    assert "are beyond the first 5 of their text and are not read" in train.coverage_notes()[-1]


def test_a_text_longer_than_the_model_reads_is_cut(name: str) -> None:
    train, _ = embed(name, [" ".join([LONG] * 4), FILLERS[0]])
    assert train.shape == (24, 32)
    assert train.words_beyond > 0


def test_learned_sequences_begin_and_end_as_texts_do(name: str) -> None:
    train, _ = embed(name, [f"{FILLERS[0]} {FILLERS[1]}"], learned_length=6)
    items = train.initial_items(torch.tensor([0]))
    nearest = train.text_metadata(items)["nearest"][0]
    assert nearest == ["[CLS]", FILLERS[0], FILLERS[1], FILLERS[0], FILLERS[1], "[SEP]"]


def test_the_first_token_is_never_left_out(name: str) -> None:
    train, _ = embed(name, [LONG] * 8, word_dropout=0.9)
    x = train.drop_words(train.batch(slice(0, 8))[0], stream("dropout"))
    assert x[:, 0].any(dim=1).all()
    assert float((x[:, 1:] != 0).any(dim=2).float().mean()) < 0.3


def test_texts_of_which_no_word_is_known_are_refused(name: str) -> None:
    with pytest.raises(DataError, match="knows no word of mine: give a model of the texts' language"):
        embed(name, ["ΩΨΦ", "ΔΘΛ"])
