"""Which class is which: by its name, by its place where nobody named it, else refused."""

import pytest
import torch

from distill.data.adapters import check_same_kind
from distill.data.dataset import Dataset, match_classes
from distill.errors import DataError

ANIMALS = ("ant", "bee", "cat", "dog")
DIGITS = tuple("0123")


def make_data(classes: tuple[str, ...]) -> Dataset:
    labels = torch.tensor([0, 1, 2, 3, 3])
    return Dataset("own.npz", torch.rand(5, 1, 2, 2), labels, classes, (0.0,), (1.0,))


def test_labels_follow_the_names_of_their_classes() -> None:
    data = make_data(("dog", "cat", "ant", "bee"))
    matched = data.with_classes(ANIMALS, "the set")
    assert matched.classes == ANIMALS
    names = [[split.classes[k] for k in split.labels] for split in (data, matched)]
    assert names[0] == names[1] == ["dog", "cat", "ant", "bee", "bee"]
    assert matched.with_classes(data.classes, "the set").labels.tolist() == data.labels.tolist()


def test_the_same_classes_change_nothing() -> None:
    data = make_data(ANIMALS)
    assert data.with_classes(ANIMALS, "the set") is data


@pytest.mark.parametrize(
    ("names", "classes", "places"),
    [
        (DIGITS, ANIMALS, [0, 1, 2, 3]),
        (ANIMALS, DIGITS, [0, 1, 2, 3]),
        (("0 - zero", "1 - one", "2 - two", "3 - three"), DIGITS, [0, 1, 2, 3]),
        (("3", "1", "0", "2"), DIGITS, [3, 1, 0, 2]),
    ],
    ids=["npz-without-names", "set-without-names", "torchvision-digits", "numbers-in-another-order"],
)
def test_numbers_are_no_names(names: tuple[str, ...], classes: tuple[str, ...], places: list[int]) -> None:
    assert match_classes(names, classes, "own.npz", "the set") == places


@pytest.mark.parametrize(
    ("classes", "differing"),
    [
        (("ant", "bee", "cat", "fox"), "dog, fox"),
        (("ant", "bee"), "cat, dog"),
        (("Ant", "bee", "cat", "dog"), ""),
    ],
)
def test_other_classes_are_named(classes: tuple[str, ...], differing: str) -> None:
    with pytest.raises(
        DataError, match=rf"own.npz and the set differ in their classes \(.*{differing}"
    ) as error:
        make_data(ANIMALS).with_classes(classes, "the set")
    assert len(str(error.value)) < 250


def test_a_thousand_other_classes_make_a_short_message() -> None:
    words = [f"class {k} of many" for k in range(1000)]
    with pytest.raises(DataError) as error:
        match_classes(words, words[1:], "own.npz", "the set")
    assert len(str(error.value)) < 250


def test_test_data_of_distill_are_matched_by_name() -> None:
    test = check_same_kind(make_data(("dog", "cat", "ant", "bee")), make_data(ANIMALS))
    assert [test.classes[k] for k in test.labels] == ["dog", "cat", "ant", "bee", "bee"]
    with pytest.raises(DataError, match="differ in their classes"):
        check_same_kind(make_data(("dog", "cat", "ant", "fox")), make_data(ANIMALS))
