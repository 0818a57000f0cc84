"""A user's own data in every common form: right, or refused in one sentence."""

import re
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    SubsetRandomSampler,
    TensorDataset,
)
from torchvision.datasets import FakeData
from torchvision.transforms import PILToTensor, ToTensor

from distill.data import load, to_dataset
from distill.data.adapters import read_splits, read_test
from distill.data.dataset import channel_mean_std
from distill.data.own import libraries
from distill.data.whiten import fit_zca, whiten
from distill.errors import DataError
from tests.data_oddities import (
    DATA_ODDITIES,
    EXPECTED,
    NAMES,
    PIXELS,
    WORDS,
    ListDataset,
    X,
    Y,
    easy_data,
    easy_pixels,
    hub_images,
    hub_splits,
)

REAL = to_dataset((PIXELS, WORDS))  # images with names of classes
SHARES = PIXELS.unsqueeze(1) / PIXELS.max()  # pixels as floats from 0 to 1
OTHER_ORDER = ("array with negative strides", "loader with a sampler")


@pytest.mark.parametrize("name", [name for name in DATA_ODDITIES if EXPECTED[name] == "right"])
def test_a_common_form_holds_the_same_items_and_classes(name: str) -> None:
    train, _ = read_splits(DATA_ODDITIES[name]())
    x, y = train.batch(slice(0, 300))
    assert (train.shape, y.dtype, len(train.classes)) == ((1, 8, 8), torch.long, 4)
    brightest = x.unflatten(3, (4, 2)).mean(dim=(1, 2, 4)).argmax(dim=1)  # the bright quarter is the class
    assert torch.equal(brightest, y)
    if train.items.dtype == torch.float32 and name not in OTHER_ORDER:
        torch.testing.assert_close(x, X[: len(x)], rtol=0, atol=0.02)  # bfloat16 has two digits


@pytest.mark.parametrize("name", [name for name in DATA_ODDITIES if EXPECTED[name] != "right"])
def test_an_odd_form_is_refused_in_one_sentence(name: str) -> None:
    with pytest.raises(DataError, match=EXPECTED[name]) as error:
        read_splits(DATA_ODDITIES[name]())
    assert len(str(error.value)) < 400
    assert "\n" not in str(error.value)


def test_uint8_images_are_what_the_same_images_in_a_file_are(tmp_path: Path) -> None:
    arrays = {"x_train": PIXELS.numpy(), "y_train": Y.numpy(), "x_test": PIXELS.numpy(), "y_test": Y.numpy()}
    np.savez(tmp_path / "easy.npz", **arrays)
    from_file = load(str(tmp_path / "easy.npz"))[0]
    for images in (PIXELS, PIXELS.unsqueeze(1).numpy(), PIXELS.unsqueeze(3)):
        split = to_dataset((images, Y))
        assert torch.equal(split.batch(slice(0, 300))[0], from_file.batch(slice(0, 300))[0])
        assert (split.mean, split.std, split.classes) == (from_file.mean, from_file.std, from_file.classes)


def test_colour_images_keep_their_channels_and_mixed_ones_become_colour() -> None:
    colour = torch.stack([PIXELS, PIXELS // 2, PIXELS // 3], dim=1)
    last, first = to_dataset((colour.movedim(1, 3), Y)), to_dataset((colour, Y))
    assert torch.equal(last.items, first.items)
    images = [Image.fromarray(p) for p in PIXELS.numpy()]
    images[0] = Image.new("RGB", (8, 8), (9, 8, 7))
    mixed = to_dataset((images, Y))
    assert mixed.shape == (3, 8, 8)
    assert torch.equal(mixed.items[1:, 1], PIXELS[1:])
    assert read_test((PIXELS, Y), mixed).shape == (3, 8, 8)


def test_grey_images_in_three_channels_are_grey_and_alpha_lies_on_white() -> None:
    images = [Image.fromarray(p).convert("RGB") for p in PIXELS.numpy()]
    assert torch.equal(to_dataset((images, Y)).items[:, 0], PIXELS)
    clear = [Image.new("RGBA", (8, 8), (0, 0, 0, 0)) for _ in range(300)]
    assert bool((to_dataset((clear, Y)).items == 255).all())


@pytest.mark.parametrize(
    ("transform", "dtype"), [(ToTensor(), torch.float32), (PILToTensor(), torch.uint8), (None, torch.uint8)]
)
def test_a_data_set_of_torchvision_with_and_without_transforms(transform: Any, dtype: torch.dtype) -> None:
    fake = FakeData(50, (3, 8, 8), 4, transform=transform)
    split = to_dataset(fake)
    assert (split.shape, split.items.dtype, len(split)) == ((3, 8, 8), dtype, 50)
    first = PILToTensor()(FakeData(50, (3, 8, 8), 4)[7][0]).float() / 255
    items = split.items[7].float() / (255 if dtype == torch.uint8 else 1)
    torch.testing.assert_close(items, first)


def test_the_names_of_classes_are_kept_and_test_labels_are_matched_by_name() -> None:
    assert REAL.classes == NAMES
    test = (PIXELS[:3], ["dog", "bee", "dog"])
    assert read_test(test, REAL).labels.tolist() == [3, 1, 3]
    assert read_test((PIXELS[:3], [3, 1, 3]), REAL).labels.tolist() == [3, 1, 3]
    split = hub_images(40)
    other = split.cast_column("label", datasets.ClassLabel(names=["dog", "cat", "bee", "ant"]))
    assert read_test(other, REAL).labels[:4].tolist() == [3, 2, 1, 0]
    with pytest.raises(
        DataError, match=r'y has the class "eel", which the data do not have \(known: ant, bee'
    ):
        read_test((PIXELS[:2], ["ant", "eel"]), REAL)


def test_words_that_are_numbers_are_names() -> None:
    train = to_dataset((X, [str(10 * label + 5) for label in Y.tolist()]))
    assert train.classes == ("5", "15", "25", "35")
    assert read_test((X[:2], ["25", "5"]), train).labels.tolist() == [2, 0]
    assert read_test((X[:2], [25, 5]), train).labels.tolist() == [2, 0]
    with pytest.raises(DataError, match='y has the class "0"'):
        read_test((X[:2], [2, 0]), train)


def test_one_hot_columns_count_even_where_a_class_has_no_item() -> None:
    labels = torch.nn.functional.one_hot(Y, 5)
    with pytest.raises(DataError, match="own data has no item of class 4"):
        read_splits((X, labels))


def test_test_images_are_scaled_as_the_training_images_are() -> None:
    brighter = (PIXELS[:20] // 2 + 60, WORDS[:20])
    test = read_test(brighter, REAL)
    assert (test.mean, test.std) == (REAL.mean, REAL.std)
    assert channel_mean_std(test.items)[0] != REAL.mean


@pytest.mark.parametrize(
    ("train", "test", "sentence"),
    [
        ((X, Y), (PIXELS, Y), "test holds uint8 images, and data floating-point items"),
        ((PIXELS, Y), (PIXELS.float().unsqueeze(1) / 255, Y), "test holds floating-point items from 0"),
        ((X, Y), (X[:, :, :4], Y), "test has items of shape (1, 4, 8), data of (1, 8, 8)"),
        ((X, Y), (X, Y + 1), "test: the test label 4 is out of range: 4 classes are 0 … 3"),
        ((X, Y), X, "data and test must be pairs (x, y), not a Tensor"),
        ((SHARES, Y), (255 * SHARES, Y), "the largest value of test is 255 and that of data 1: scale both"),
        ((10 * SHARES, Y), (SHARES / 20, Y), "the largest value of the training data is 10 and that of test"),
        (whiten(REAL, fit_zca(REAL)), (SHARES, WORDS), "and data are whitened: give both as uint8 images"),
        (REAL, to_dataset((SHARES, WORDS)), "test holds floating-point items from 0, and data have mean 0"),
    ],
    ids=(
        "uint8 beside floats",
        "pixels from 0 to 1",
        "another shape",
        "a fifth class",
        "items alone",
        "255 beside 1",
        "0.05 beside 10",
        "pixels beside whitened images",
        "a data set of pixels as floats",
    ),
)
def test_test_data_of_another_kind_are_refused(train: Any, test: Any, sentence: str) -> None:
    with pytest.raises(DataError, match=re.escape(sentence)):
        read_splits(train, test)


def test_uint8_test_images_are_whitened_as_the_training_data_were() -> None:
    zca = fit_zca(REAL)
    train = whiten(REAL, zca)
    test = read_test((PIXELS[:30], WORDS[:30]), train)
    torch.testing.assert_close(test.items, train.items[:30])
    whitened = read_test((train.items[:30], WORDS[:30]), train)
    assert torch.equal(whitened.items, train.items[:30])


def test_a_dataset_dict_gives_train_and_test() -> None:
    train, test = read_splits(hub_splits())
    assert test is not None
    assert (len(train), len(test), test.mean) == (300, 40, train.mean)
    assert read_splits(hub_splits(), hub_images(8))[1].labels.tolist() == [0, 1, 2, 3] * 2


def test_labels_without_a_class_of_a_hub_split_are_refused() -> None:
    split = hub_images(40).map(lambda row: {"label": -1})
    with pytest.raises(DataError, match='a row has the "label" -1, which means none'):
        to_dataset(split)


def test_texts_of_the_hub_name_the_command_that_distils_them() -> None:
    texts = datasets.Dataset.from_dict({"sentence": ["a", "b"], "label": [0, 1]})
    with pytest.raises(DataError, match="distill text --train FILE.csv --test FILE.csv"):
        to_dataset(texts)


class Endless(IterableDataset[Any]):
    """A stream without an end."""

    def __iter__(self) -> Any:
        while True:
            yield X[0], 0


@pytest.mark.parametrize("data", [Endless(), DataLoader(Endless(), batch_size=2)], ids=("dataset", "loader"))
def test_an_endless_stream_is_refused(data: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libraries, "MAX_ITEMS", 50)
    with pytest.raises(DataError, match="data gives more than 50 .*: give a part of it"):
        to_dataset(data)


class Noisy(Dataset[Any]):
    """Items that are changed at random when they are read."""

    def __len__(self) -> int:
        return 20

    def __getitem__(self, index: int) -> Any:
        return torch.randn(1, 8, 8) + index % 2, index % 2


def test_reading_is_repeatable_and_leaves_the_random_numbers_alone() -> None:
    before = torch.random.get_rng_state()
    loader = DataLoader(TensorDataset(X, Y), batch_size=32, shuffle=True)
    first, second = to_dataset(Noisy()), to_dataset(Noisy())
    assert torch.equal(first.items, second.items)
    assert torch.equal(to_dataset(loader).items, X)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_dataset_comes_back_as_it_is_and_tensors_become_what_they_were() -> None:
    assert to_dataset(REAL) is REAL
    x, y = easy_data(30)
    split = to_dataset((x, y))
    assert split.batch(slice(0, 30))[0].equal(x)
    assert (split.name, split.mean, split.std, split.classes) == (
        "own data",
        (0.0,),
        (1.0,),
        ("0", "1", "2", "3"),
    )


def test_a_printed_data_set_is_one_line() -> None:
    assert repr(to_dataset((X, Y))) == f"Dataset({len(X)} items 1×8×8 of 4 classes, own data)"


def test_pairs_whose_label_is_a_tensor_of_one_number() -> None:
    rows = [(x, torch.tensor([y])) for x, y in zip(X, Y.tolist(), strict=True)]
    assert torch.equal(to_dataset(ListDataset(rows)).labels, Y)


def test_easy_pixels_are_what_easy_data_are_before_scaling() -> None:
    assert torch.equal((easy_pixels()[0].float().unsqueeze(1) - 90) / 62, X)


class Pairs(BatchSampler):
    """A user's batches, of the first hundred items."""

    def __iter__(self) -> Any:
        yield from ([i, i + 1] for i in range(0, 100, 2))


@pytest.mark.parametrize(
    ("options", "count"),
    [
        ({"batch_sampler": BatchSampler(SubsetRandomSampler(range(50)), 10, False)}, 50),
        ({"batch_sampler": Pairs(range(100), 2, False)}, 100),
        ({"batch_size": 10, "sampler": SequentialSampler(range(70))}, 70),
        ({"batch_size": 10, "sampler": RandomSampler(range(300), num_samples=60)}, 60),
        ({"batch_size": 64, "shuffle": True, "drop_last": True}, 300),
    ],
    ids=("batch sampler of a part", "own batch sampler", "sampler of a part", "few at random", "drop_last"),
)
def test_what_a_loader_leaves_out_is_not_read(options: dict[str, Any], count: int) -> None:
    """torch gives a DataLoader with a batch_sampler a sampler of all items, which it does not use."""
    assert len(to_dataset(DataLoader(TensorDataset(X, Y), **options))) == count


def test_names_of_classes_are_not_those_of_labels_that_are_changed() -> None:
    """target_transform of torchvision, and a data set around another."""
    data = DATA_ODDITIES["own dataset of images with classes"]()
    assert to_dataset(data).classes == NAMES
    data.target_transform = lambda label: 3 - label
    assert to_dataset(data).classes == ("0", "1", "2", "3")
    around = ListDataset([(x, 3 - y) for x, y in data.rows])
    around.dataset = data  # type: ignore[attr-defined]
    assert to_dataset(around).classes == ("0", "1", "2", "3")
