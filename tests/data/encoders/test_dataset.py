"""Texts as embeddings: the numbers of transformers themselves, a cache that is whole, and what is said."""

import json
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from distill.data.encoders import cache as cache_module
from distill.data.encoders import model as model_module
from distill.data.encoders.cache import embed_texts, find_place
from distill.data.encoders.dataset import EncodedDataset, encode_corpus, encode_like_set
from distill.data.encoders.folder import read_encoder
from distill.data.texts import Corpus, TextSplit, read_corpus
from distill.errors import DataError, UserError
from tests.encoders import DIM, LONGEST, write_encoder
from tests.helpers import write_texts

TEXTS = ["the owl", "a jay and the oak is of the elm", "", "ash " * 40]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_encoder(tmp_path_factory.mktemp("encoder") / "tiny")


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    write_texts(tmp_path)
    return read_corpus(tmp_path / "train.csv", tmp_path / "test.csv")


def encode_one(folder: str, text: str, pooling: str, normalised: bool) -> torch.Tensor:
    """The embedding of one text by transformers alone, without padding."""
    from transformers import AutoModel, AutoTokenizer

    tokens = AutoTokenizer.from_pretrained(folder)(
        text, truncation=True, max_length=LONGEST, return_tensors="pt"
    )
    with torch.no_grad():
        states = AutoModel.from_pretrained(folder).eval()(**tokens).last_hidden_state[0]
    pooled = {"mean": states.mean(dim=0), "cls": states[0], "max": states.amax(dim=0)}[pooling]
    return F.normalize(pooled, dim=0) if normalised else pooled


@pytest.mark.parametrize("pooling", ["mean", "cls", "max"])
@pytest.mark.parametrize("normalised", [True, False])
def test_embeddings_are_those_of_transformers(
    pooling: str, normalised: bool, encoder: str, tmp_path: Path
) -> None:
    folder = replace(read_encoder(encoder), pooling=pooling, normalised=normalised)
    vectors = embed_texts(TEXTS, folder, tmp_path).vectors
    expected = torch.stack([encode_one(encoder, text, pooling, normalised) for text in TEXTS])
    torch.testing.assert_close(vectors, expected, atol=1e-5, rtol=1e-5)


def test_long_texts_are_counted(encoder: str, tmp_path: Path) -> None:
    found = embed_texts(TEXTS, read_encoder(encoder), tmp_path)
    assert (found.longer, found.known) == (1, 1.0)
    half = embed_texts(["owl zebra"], read_encoder(encoder), tmp_path)
    assert half.known == 0.5


def test_batches_change_no_embedding(encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    together = embed_texts(TEXTS, read_encoder(encoder), tmp_path / "a").vectors
    monkeypatch.setattr(model_module, "TOKENS_PER_BATCH", 1)
    monkeypatch.setattr(model_module, "TEXTS_PER_CALL", 1)
    alone = embed_texts(TEXTS, read_encoder(encoder), tmp_path / "b").vectors
    torch.testing.assert_close(together, alone, atol=1e-6, rtol=1e-5)


def test_texts_are_embedded_once(encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = embed_texts(TEXTS, read_encoder(encoder), tmp_path).vectors.clone()
    monkeypatch.setattr(cache_module, "build_cache", None)  # calling it would fail
    assert torch.equal(embed_texts(TEXTS, read_encoder(encoder), tmp_path).vectors, first)


@pytest.mark.parametrize("damage", ["cut", "changed", "index", "gone"])
def test_a_damaged_cache_is_made_anew(damage: str, encoder: str, tmp_path: Path) -> None:
    folder = read_encoder(encoder)
    first = embed_texts(TEXTS, folder, tmp_path).vectors.clone()
    place = find_place(TEXTS, folder, tmp_path, "float32")
    content = bytearray((place / "vectors.npy").read_bytes())
    content[-1] ^= 1
    {
        "cut": lambda: (place / "vectors.npy").write_bytes(content[:-4]),
        "changed": lambda: (place / "vectors.npy").write_bytes(content),
        "index": lambda: (place / "index.json").write_text("[]"),
        "gone": lambda: shutil.rmtree(place),
    }[damage]()
    assert torch.equal(embed_texts(TEXTS, folder, tmp_path).vectors, first)


def test_an_encoder_that_has_changed_embeds_anew_and_says_so(corpus: Corpus, tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "e")
    before, _ = encode_corpus(corpus, folder, cache=tmp_path / "cache")
    write_encoder(tmp_path / "e", seed=1)
    after, _ = encode_corpus(corpus, folder, cache=tmp_path / "cache")
    assert not torch.allclose(before.items, after.items)
    assert any("has other files than its cache: 300 texts were embedded anew" in r for r in after.remarks)
    assert len(list((tmp_path / "cache" / "embeddings").iterdir())) == 2


def test_items_have_numbers_of_mean_square_one(encoder: str, corpus: Corpus, tmp_path: Path) -> None:
    train, test = encode_corpus(corpus, encoder, cache=tmp_path)
    x, y = train.batch(slice(0, len(train)))
    assert x.shape == (300, DIM)
    assert float(x.square().mean()) == pytest.approx(1, abs=1e-5)
    assert torch.equal(y, torch.tensor(corpus.train.labels))
    assert test.std == train.std


def test_a_selection_keeps_texts_beside_their_items(encoder: str, corpus: Corpus, tmp_path: Path) -> None:
    train, _ = encode_corpus(corpus, encoder, cache=tmp_path)
    part = train.select(torch.tensor([5, 2]))
    assert part.texts == (corpus.train.texts[5], corpus.train.texts[2])
    assert torch.equal(part.items, train.items[[5, 2]])


def test_an_item_is_read_by_its_nearest_sentences_and_its_mixture(
    encoder: str, corpus: Corpus, tmp_path: Path
) -> None:
    train, _ = encode_corpus(corpus, encoder, cache=tmp_path)
    items = torch.stack([train.batch(torch.tensor([7]))[0][0], 2 * train.batch(torch.tensor([9]))[0][0]])
    text = train.text_metadata(items)
    assert text["nearest"][0][0] == train.texts[7]
    assert text["similarity"][0][0] == pytest.approx(1, abs=1e-3)
    assert text["mixture"][1][0] == train.texts[9]
    assert text["weights"][1] == pytest.approx([2.0], abs=1e-3)
    assert text["explained"] == pytest.approx([1, 1], abs=1e-3)


def test_a_set_finds_its_embeddings_again_and_no_others(
    encoder: str, corpus: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distill.data.encoders.dataset.CACHE", tmp_path)
    train, _ = encode_corpus(corpus, encoder)
    again, _ = encode_like_set(train.metadata, corpus, None, "cpu")
    assert isinstance(again, EncodedDataset)
    assert torch.equal(again.items, train.items)
    other = write_encoder(tmp_path / "other", seed=2)
    with pytest.raises(
        DataError, match=r"was learned with the encoder .*tiny, whose checksum is .*give --enc"
    ):
        encode_like_set(train.metadata, corpus, other, "cpu")


def test_what_is_not_read_is_said(encoder: str, tmp_path: Path) -> None:
    split = TextSplit([*TEXTS, "a zebra"], [0, 1, 0, 1, 0])
    train, test = encode_corpus(Corpus("pets", split, split, ("x", "y")), encoder, cache=tmp_path)
    assert (
        f"pets: 1 of 5 texts are longer than the {LONGEST} tokens that are read of a text by {encoder}:"
        " their ends are not read"
    ) in train.coverage_notes()
    assert any("% of the tokens of 5 texts are unknown" in note for note in test.coverage_notes())


def test_a_tokenizer_that_knows_no_word_is_one_sentence(encoder: str, tmp_path: Path) -> None:
    split = TextSplit(["εν", "δυο"], [0, 1])
    with pytest.raises(
        DataError, match="the tokenizer of .*tiny knows no word of these texts: give --encoder"
    ):
        encode_corpus(Corpus("greek", split, split, ("x", "y")), encoder, cache=tmp_path)
    assert not list((tmp_path / "embeddings").iterdir())


def test_more_tokens_than_the_encoder_reads_is_one_sentence(encoder: str, tmp_path: Path) -> None:
    split = TextSplit(TEXTS, [0, 1, 0, 1])
    with pytest.raises(DataError, match=f"--max-length 99 is more than the {LONGEST} tokens that"):
        encode_corpus(Corpus("pets", split, split, ("x", "y")), encoder, 99, cache=tmp_path)


def test_damaged_weights_are_one_sentence(tmp_path: Path) -> None:
    folder = write_encoder(tmp_path / "e")
    path = tmp_path / "e" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(DataError, match=r"cannot be loaded by transformers \(.*\): fetch the folder again"):
        embed_texts(TEXTS, read_encoder(folder), tmp_path)


def test_without_transformers_a_sentence_says_how_to_install_it(
    encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "transformers"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr("distill.errors.find_spec", lambda name: None)
    with pytest.raises(
        UserError, match=r"needs the package transformers: pip install 'distill\[transformers\]'"
    ):
        embed_texts(["another"], read_encoder(encoder), tmp_path)


def test_the_index_is_sealed_by_the_checksum_of_the_vectors(encoder: str, tmp_path: Path) -> None:
    folder = read_encoder(encoder)
    embed_texts(TEXTS, folder, tmp_path)
    index = json.loads((find_place(TEXTS, folder, tmp_path, "float32") / "index.json").read_text())
    assert index["format"] == "distill-embeddings/1"
    assert len(index["checksum"]) == 64


def test_a_cache_that_is_there_does_not_wait_for_another_process_that_embeds(
    encoder: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed_texts(TEXTS, read_encoder(encoder), tmp_path)
    monkeypatch.setattr(cache_module, "hold_folder", None)  # taking the lock would fail
    assert len(embed_texts(TEXTS, read_encoder(encoder), tmp_path).vectors) == len(TEXTS)
