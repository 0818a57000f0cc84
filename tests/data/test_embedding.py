"""Text as a Dataset: tokens become vectors, padding is left out, and learned vectors have nearest words."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from distill.data.embedding import (
    PAD,
    UNKNOWN,
    TextDataset,
    embed_corpus,
    embed_like_set,
    load_real_data,
)
from distill.data.texts import Corpus, TextSplit, load_tokenizer
from distill.errors import DataError
from distill.randomness import stream
from tests.helpers import write_npz

WORDS = ["the", "cat", "sat", "mat"]
TABLE = np.sin(1 + np.arange(12)).reshape(4, 3).astype(np.float32)
TEXTS = ["The cat sat", "the zebra", "", "cat " * 9, "xyzzy"]


@pytest.fixture
def vectors_file(tmp_path: Path) -> str:
    lines = [f"{w} {' '.join(map(str, row.tolist()))}" for w, row in zip(WORDS, TABLE, strict=True)]
    (tmp_path / "v.txt").write_text("\n".join(lines) + "\n")
    return str(tmp_path / "v.txt")


def make_corpus(texts: list[str] = TEXTS) -> Corpus:
    labels = [i % 2 for i in range(len(texts))]
    return Corpus("toy", TextSplit(texts, labels), TextSplit(["sat on the mat"], [1]), ("no", "yes"))


def test_a_batch_is_the_words_vectors_and_zeros(vectors_file: str) -> None:
    train, test = embed_corpus(make_corpus(), vectors_file)
    x, y = train.batch(torch.tensor([0, 1]))
    assert x.shape == (2, 3, 3)  # as long as the longest of these two
    assert torch.equal(x[0], torch.from_numpy(TABLE[:3]))
    assert torch.equal(x[1, 0], torch.from_numpy(TABLE[0]))
    assert not x[1, 1:].any()  # unknown, then padding
    assert y.tolist() == [0, 1]
    assert torch.equal(test.batch(slice(0, 1))[0][0, 3], torch.from_numpy(TABLE[3]))  # known in test alone


def test_token_ids_are_stored_and_padded(vectors_file: str) -> None:
    train, _ = embed_corpus(make_corpus(), vectors_file, max_length=4)
    assert train.items.dtype == torch.int32
    assert train.shape == (4, 3)
    assert train.items[2].tolist() == [PAD] * 4
    assert (train.items[3] > UNKNOWN).all()
    assert train.items[4].tolist() == [UNKNOWN, PAD, PAD, PAD]


def test_the_length_is_by_default_the_longest_text_s(vectors_file: str) -> None:
    assert embed_corpus(make_corpus(), vectors_file)[0].shape == (9, 3)
    assert embed_corpus(make_corpus(["cat " * 300, "the"]), vectors_file)[0].shape == (200, 3)


def test_unknown_words_are_zeros_or_their_own_random_vector(vectors_file: str) -> None:
    datasets = [embed_corpus(make_corpus(), vectors_file, unknown_words="drawn")[0] for _ in range(2)]
    zebra, xyzzy = (datasets[0].batch(torch.tensor([i]))[0][0, k] for i, k in ((1, 1), (4, 0)))
    assert zebra.any()
    assert not torch.equal(zebra, xyzzy)
    assert torch.equal(datasets[0].vectors, datasets[1].vectors)


def test_drawn_vectors_have_the_set_s_spread_beside_any_texts(vectors_file: str) -> None:
    train, _ = embed_corpus(make_corpus(), vectors_file, unknown_words="drawn", learned_length=3)
    metadata = train.text_metadata(train.initial_items(torch.tensor([0])))
    split = TextSplit(["zebra mat", "zebra"], [0, 1])  # other words with a vector, so another spread
    new, _ = embed_like_set(metadata, Corpus("new", split, split, ("a", "b")), vectors_file, "cpu")
    assert torch.equal(new.batch(torch.tensor([1]))[0][0, 0], train.batch(torch.tensor([1]))[0][0, 1])


def test_words_of_the_test_texts_alone_make_no_noise_and_are_near_to_nothing(vectors_file: str) -> None:
    train, test = embed_corpus(make_corpus(), vectors_file)
    hidden = next(i for i in test.used_words().tolist() if i not in train.used_words().tolist())
    words = train.nearest_words(train.vectors[torch.tensor([[hidden]])], "euclidean", len(train.vectors))[0][
        0
    ]
    assert train.vocabulary[hidden] not in words
    assert len(words) == len(train.used_words())


def test_notes_count_the_words_without_a_vector(vectors_file: str) -> None:
    train, test = embed_corpus(make_corpus(), vectors_file)
    assert train.coverage_notes() == [
        "toy: 86.7 % of the words of 5 texts have a vector",
        "toy: 2 of 5 texts hold no word with a vector",
    ]
    assert test.coverage_notes() == ["toy: 75.0 % of the words of 1 texts have a vector"]


def test_texts_of_304_words_whose_telling_words_come_last_are_said_to_be_cut(vectors_file: str) -> None:
    train, test = embed_corpus(make_corpus(["cat " * 300 + "mat " * 4, "the cat"]), vectors_file)
    assert train.coverage_notes() == [
        "toy: 100.0 % of the words of 2 texts have a vector; 34.0 % of the words are beyond the first 200 of"
        " their text and are not read (--max-length reads more)"
    ]
    assert test.coverage_notes() == ["toy: 75.0 % of the words of 1 texts have a vector"]


def test_starts_repeat_the_known_words_to_the_learned_length(vectors_file: str) -> None:
    train, _ = embed_corpus(make_corpus(), vectors_file, learned_length=5)
    x = train.initial_items(torch.tensor([0, 1, 4]))
    assert x.shape == (3, 5, 3)
    assert torch.equal(x[0], torch.from_numpy(TABLE[[0, 1, 2, 0, 1]]))
    assert torch.equal(x[1], torch.from_numpy(TABLE[[0] * 5]))
    assert x[2].any(dim=1).all()  # a text without a known word starts from any words


def test_an_outer_step_leaves_out_a_share_of_the_words(vectors_file: str) -> None:
    train, _ = embed_corpus(make_corpus(["cat " * 50] * 40), vectors_file, word_dropout=0.3)
    x = train.batch(slice(None))[0]
    shorter = train.drop_words(x, stream("v"))
    dropped = ~shorter.any(dim=2)
    assert dropped.float().mean().item() == pytest.approx(0.3, abs=0.03)
    assert torch.equal(shorter[~dropped], x[~dropped])
    assert torch.equal(embed_corpus(make_corpus(), vectors_file)[0].drop_words(x, stream("v")), x)


def test_noise_has_the_spread_of_the_vectors(vectors_file: str) -> None:
    train, _ = embed_corpus(make_corpus(), vectors_file, learned_length=500)
    noise = train.draw_noise(2, stream("n"))
    assert noise.shape == (2, 500, 3)
    assert noise.std().item() == pytest.approx(train.vectors[train.used_words()].std().item(), rel=0.1)


def test_the_nearest_word_of_a_word_is_itself(vectors_file: str) -> None:
    train, _ = embed_corpus(make_corpus(), vectors_file)
    items = train.batch(torch.tensor([0]))[0]
    for distance in ("cosine", "euclidean"):
        assert [words[0] for words in train.nearest_words(items, distance)[0]] == ["the", "cat", "sat"]


def test_cosine_ignores_the_length_of_a_vector_and_euclid_does_not(vectors_file: str) -> None:
    train, _ = embed_corpus(make_corpus(), vectors_file)
    item = 1e-6 * train.vectors[train.vocabulary.index("sat")].view(1, 1, 3)
    assert train.nearest_words(item, "cosine", 1) == [[["sat"]]]
    used = train.used_words()
    shortest = train.vocabulary[int(used[train.vectors[used].norm(dim=1).argmin()])]
    assert train.nearest_words(item, "euclidean", 1) == [[[shortest]]]


def test_the_metadata_describes_the_word_vectors(vectors_file: str) -> None:
    train, _ = embed_corpus(make_corpus(), vectors_file, max_length=4, learned_length=3)
    metadata = train.text_metadata(train.initial_items(torch.tensor([0])))
    assert metadata is not None
    assert (metadata["tokenizer"], metadata["dim"], metadata["length"], metadata["max_length"]) == (
        "basic_english",
        3,
        3,
        4,
    )
    assert metadata["nearest"] == [["the", "cat", "sat"]]
    assert len(metadata["neighbours"]["euclidean"][0][0]) == 3


def test_a_subset_is_a_text_data_set_too(vectors_file: str) -> None:
    train, held_out = embed_corpus(make_corpus(), vectors_file)[0].split(2, stream("s"))
    assert isinstance(train, TextDataset)
    assert (len(train), len(held_out)) == (3, 2)
    assert train.batch(slice(0, 1))[0].shape[2] == 3


def test_a_set_needs_the_vectors_that_it_was_learned_with(vectors_file: str, tmp_path: Path) -> None:
    metadata = embed_corpus(make_corpus(), vectors_file)[0].text_metadata(torch.zeros(1, 2, 3))
    assert metadata is not None
    train, _ = embed_like_set(metadata, make_corpus(), None, "cpu")
    assert train.metadata == {k: metadata[k] for k in train.metadata}
    path = tmp_path / "other.txt"
    path.write_text(Path(vectors_file).read_text() + "dog 1 2 3\n")
    with pytest.raises(DataError, match="checksum is .* give --vectors the same file"):
        embed_like_set(metadata, make_corpus(), str(path), "cpu")
    path.write_text("the 1 2\ncat 1 2\n")
    with pytest.raises(DataError, match=r"whose dim is 3; that of .*other.txt is 2"):
        embed_like_set(metadata, make_corpus(), str(path), "cpu")


def test_real_data_of_a_set_come_from_its_files_or_from_those_that_are_named(
    vectors_file: str, tmp_path: Path
) -> None:
    for name in ("a", "b"):
        for split in ("", "-test"):
            (tmp_path / f"{name}{split}.csv").write_text(f"text,label\nthe cat,{name}\nsat,z\n")
    a, b, test, other = (str(tmp_path / f"{name}.csv") for name in ("a", "b", "a-test", "b-test"))
    metadata = embed_corpus(make_corpus(), vectors_file)[0].text_metadata(torch.zeros(1, 2, 3))
    original = {**(metadata or {}), "files": [a, test, None, None]}
    none = (None, None, None, None)
    assert load_real_data(original, a, True, none, None, vectors_file, "cpu")[0].classes == ("a", "z")
    files = (b, other, None, None)
    assert load_real_data(original, a, True, files, None, vectors_file, "cpu")[0].classes == ("b", "z")
    images = write_npz(tmp_path / "blobs.npz")
    assert load_real_data(None, str(images), True, none, None, None, "cpu")[0].shape == (1, 8, 8)


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_split_without_a_known_word_is_refused(vectors_file: str, split: str) -> None:
    corpus, foreign = make_corpus(), TextSplit(["", "zebra xyzzy"], [0, 1])
    corpus = replace(corpus, **{split: foreign})
    with pytest.raises(
        DataError, match=f"v.txt holds a vector for no word of the {split} texts of toy: give"
    ):
        embed_corpus(corpus, vectors_file)


def test_an_unknown_tokenizer_or_choice_gets_a_suggestion(vectors_file: str) -> None:
    with pytest.raises(DataError, match='no tokenizer called "basic"; did you mean "basic_english"'):
        embed_corpus(make_corpus(), vectors_file, tokenizer="basic")
    with pytest.raises(DataError, match='"zero"; did you mean "zeros"'):
        embed_corpus(make_corpus(), vectors_file, unknown_words="zero")


def test_a_tokenizer_whose_package_is_missing_says_so(vectors_file: str) -> None:
    with pytest.raises(DataError, match='"revtok" needs its package'):
        load_tokenizer("revtok")


def test_reviews_of_400_words_fit(vectors_file: str) -> None:
    """25,000 of them are 40 MB of ids; they become vectors a batch at a time."""
    texts = ["the cat sat mat " * 100] * 1000
    train, _ = embed_corpus(make_corpus(texts), vectors_file, max_length=400)
    assert train.items.element_size() * train.items.nelement() * 25 == 40_000_000
    assert train.batch(slice(0, 8))[0].shape == (8, 400, 3)
