"""Which class is which: by its name, by its place where nobody named it, else refused."""

import pytest
import torch

from distill.data.adapters import check_same_kind
from distill.data.classes import match_classes
from distill.data.dataset import Dataset, renumber_classes
from distill.data.own.labels import Labels, match_names
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


def test_names_that_begin_with_their_numbers_need_no_remark(capsys: pytest.CaptureFixture[str]) -> None:
    match_classes(("0 - zero", "1_one", "2", "3 three"), DIGITS, "own.npz", "the set")
    match_classes(("dog", "cat", "ant", "bee"), ANIMALS, "own.npz", "the set")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("are_named", ["data", "set"])
def test_names_beside_numbers_are_told_once_for_both_splits(
    capsys: pytest.CaptureFixture[str], are_named: str
) -> None:
    names, classes = (ANIMALS, DIGITS) if are_named == "data" else (DIGITS, ANIMALS)
    splits = renumber_classes([make_data(names), make_data(names)], classes, "the set")
    assert [split.classes for split in splits] == [classes, classes]
    remark = capsys.readouterr().err
    assert remark.count("\n") == remark.count("0 = ant, 1 = bee, 2 = cat, 3 = dog;") == 1
    assert "give both the same names" in remark
    assert len(remark) < 400


def test_a_remark_on_many_classes_shows_ten_and_the_count(capsys: pytest.CaptureFixture[str]) -> None:
    words = [f"word {k:04d} {'x' * 100}" for k in range(1000)]
    match_classes(words, list(map(str, range(1000))), "own.npz", "the set")
    remark = capsys.readouterr().err
    assert "(1000 classes)" in remark
    assert remark.count(" = ") == 10
    assert len(remark) < 800


@pytest.mark.parametrize("names", [("1", "10", "2", "3"), ("1_a", "10_b", "2_c", "3_d")])
def test_numbers_in_another_order_than_by_value_are_refused(names: tuple[str, ...]) -> None:
    for pair in ((names, DIGITS, "own", "the set"), (DIGITS, names, "the set", "own")):
        with pytest.raises(
            DataError, match=r"classes of own are numbers in another order.* \(1.*10"
        ) as error:
            match_classes(*pair)
        assert len(str(error.value)) < 400


def test_numbers_from_one_in_order_are_places_with_a_remark(capsys: pytest.CaptureFixture[str]) -> None:
    assert match_classes(("1", "2", "3", "4"), DIGITS, "own", "the set") == [0, 1, 2, 3]
    assert "0 = 1, 1 = 2" in capsys.readouterr().err


def test_names_that_come_with_class_numbers_are_told_too(capsys: pytest.CaptureFixture[str]) -> None:
    labels = Labels(torch.tensor([3, 0]), ANIMALS)
    assert match_names(labels, DIGITS).tolist() == [3, 0]
    assert "0 = ant" in capsys.readouterr().err
    with pytest.raises(DataError, match="another order"):
        match_names(Labels(torch.tensor([3, 0]), ("1", "10", "2", "3")), DIGITS)


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
