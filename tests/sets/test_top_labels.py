"""Labels by their largest values: what they stand for, their file, and which files are refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from distill.errors import SetError, UserError
from distill.sets.distilled import DistilledSet
from distill.sets.formats import safetensors
from distill.sets.formats.base import load_set
from distill.sets.labels.top import CLASS_DTYPES, TopLabels, bytes_per_label, class_dtype, expand, keep_top
from distill.sets.storage import write_tensors
from distill.student.views.top import FEWEST_CLASSES, SHARE, choose_top
from tests.helpers import waves
from tests.sets.samples import is_equal_set, make_top, make_top_set

ROUNDING = 2**-10


def make_labels(*shape: int, sharpness: float = 8) -> Tensor:
    return (sharpness * waves(*shape).float()).softmax(dim=-1)


# What is kept, and what it stands for


@pytest.mark.parametrize("classes", [2, 10, 256, 257, 1000])
def test_all_values_are_the_labels_to_the_rounding_of_float16(classes: int) -> None:
    labels = make_labels(5, classes)
    again = expand(*keep_top(labels, classes), classes)
    torch.testing.assert_close(again, labels, rtol=ROUNDING, atol=2**-24)


@pytest.mark.parametrize("sharpness", [0.0, 1.0, 8.0, 100.0])
@pytest.mark.parametrize("k", [1, 2, 7, 99, 100])
def test_rows_are_probabilities_within_the_tail_of_the_labels(k: int, sharpness: float) -> None:
    labels = make_labels(4, 6, 100, sharpness=sharpness)
    again = expand(*keep_top(labels, k), 100)
    torch.testing.assert_close(again.sum(dim=-1), torch.ones(4, 6))
    assert again.min() >= 0
    tail = 1 - labels.topk(k).values.sum(dim=-1)
    assert ((again - labels).abs().amax(dim=-1) <= tail + ROUNDING).all()
    assert ((again - labels).abs().sum(dim=-1) <= 2 * tail + 4 * ROUNDING).all()


def test_the_tail_is_spread_equally_over_the_other_classes() -> None:
    values, classes = torch.tensor([[0.5, 0.25]]).half(), torch.tensor([[3, 0]], dtype=torch.uint8)
    assert expand(values, classes, 4).tolist() == [[0.25, 0.125, 0.125, 0.5]]


def test_an_index_answers_what_the_dense_labels_would() -> None:
    whole = make_labels(3, 5, 40)
    top = TopLabels.keep(whole, 40)
    assert (top.shape, len(top), top.k) == ((3, 5, 40), 3, 40)
    rows = torch.tensor([4, 0, 2])
    for index in (1, slice(2), (2, rows)):
        torch.testing.assert_close(top[index], whole[index], rtol=ROUNDING, atol=ROUNDING)
    assert len(list(top)) == 3


def test_class_numbers_take_as_few_bytes_as_they_can() -> None:
    for most, dtype in CLASS_DTYPES.items():
        assert (class_dtype(most), class_dtype(most - 1)) == (dtype, dtype)
        assert most - 1 <= torch.iinfo(dtype).max
    assert [bytes_per_label(5, c) for c in (10, 256, 257, 2**15, 2**15 + 1)] == [15, 15, 20, 20, 30]
    top = make_top(4, 6, 1000, 5)
    assert top.nbytes == 4 * 6 * bytes_per_label(5, 1000)


def test_labels_of_equal_values_of_many_classes_are_their_own() -> None:
    """Values below 2^-14 round by more than 2^-11 of themselves, and their sum may be above one."""
    labels = torch.full((1, 1, 100_000), 1e-5)
    torch.testing.assert_close(TopLabels.keep(labels, 100_000)[0], labels[0])


# How many are kept


def test_auto_keeps_as_many_values_as_hold_the_share() -> None:
    labels = make_labels(20, 100, sharpness=20)
    k = choose_top("auto", labels)
    assert k is not None
    held = labels.topk(k).values.sum(dim=1).mean()
    fewer = labels.topk(k - 1).values.sum(dim=1).mean()
    assert fewer < SHARE <= held


def test_auto_keeps_all_where_few_bytes_are_saved() -> None:
    assert choose_top("auto", make_labels(5, 100, sharpness=0)) is None
    assert choose_top("auto", torch.eye(FEWEST_CLASSES - 1)) is None
    assert choose_top("auto", torch.eye(FEWEST_CLASSES)) == 1
    assert choose_top(None, torch.eye(FEWEST_CLASSES)) is None
    assert choose_top("7", torch.eye(10)) == 7


@pytest.mark.parametrize("top", ["0", "11", "-1", "five", "1.5", "", "9" * 5000])
def test_a_number_that_is_none_is_refused(top: str) -> None:
    with pytest.raises(UserError, match="--top must be auto or a whole number from 1 to 10, not '"):
        choose_top(top, torch.eye(10))


def test_a_number_that_saves_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="--top 300 of 300 classes saves no bytes: give fewer"):
        choose_top("300", torch.eye(300))
    assert choose_top("299", torch.eye(300)) == 299


# Files


def test_a_file_and_an_export_keep_them_to_the_bit(tmp_path: Path) -> None:
    data = make_top_set()
    data.save(tmp_path / "set.pt")
    safetensors.write_set(data, tmp_path / "folder")
    assert is_equal_set(DistilledSet.load(tmp_path / "set.pt"), data)
    assert is_equal_set(load_set(tmp_path / "folder"), data)
    assert is_equal_set(data.to("cpu"), data)
    content = torch.load(tmp_path / "set.pt", weights_only=True)
    assert content["format"] == "distill-set/3"
    assert {name: str(getattr(v, "dtype", v)) for name, v in content["view_labels"].items()} == {
        "values": "torch.float16", "classes": "torch.uint8", "count": "3",
    }  # fmt: skip


def test_whole_labels_are_a_file_of_the_first_format() -> None:
    content = replace(make_top_set(), view_labels=make_labels(2, 3, 3)).to_dict()
    assert content["format"] == "distill-set/1"
    assert isinstance(content["view_labels"], Tensor)


def test_the_documented_lines_of_torch_read_them(tmp_path: Path) -> None:
    """docs/reference/file.md shows a stranger how to make dense labels."""
    page = Path(__file__).parents[2] / "docs" / "reference" / "file.md"
    code = page.read_text(encoding="utf-8").split("# labels of a view")[1].split("```")[0]
    data = make_top_set()
    data.save(tmp_path / "set.pt")
    names: dict[str, Any] = {"s": torch.load(tmp_path / "set.pt", weights_only=True), "view": 1}
    names["torch"] = torch
    exec(code, names)
    torch.testing.assert_close(names["y"], data.view_labels[1])  # type: ignore[index]


def spoil(**changes: Any) -> dict[str, Any]:
    """The content of a file whose view_labels are changed."""
    content = make_top_set().to_dict()
    return content | {"view_labels": content["view_labels"] | changes}


def fill(number: float, *shape: int) -> Tensor:
    return torch.full(shape, number).half()


def number(*classes: int) -> Tensor:
    return torch.tensor(classes).repeat(2, 3, 1).byte()


DAMAGES: dict[str, tuple[dict[str, Any], str]] = {
    "NaN": ({"values": fill(float("nan"), 2, 3, 2)}, "values must be finite and at least 0"),
    "infinite": ({"values": fill(float("inf"), 2, 3, 2)}, "values must be finite and at least 0"),
    "negative": ({"values": fill(-0.1, 2, 3, 2)}, "values must be finite and at least 0"),
    "sum above one": ({"values": fill(0.6, 2, 3, 2)}, "of a label add up to 1.2: labels are probabilities"),
    "float32": (
        {"values": torch.zeros(2, 3, 2)},
        "values must be torch.float16 numbers, .* not torch.float32",
    ),
    "no tensor": ({"values": [0.5]}, r"values must be torch.float16 numbers, views × n × k, not \[0.5\]"),
    "two dimensions": ({"values": fill(0, 3, 2)}, r"views × n × k, not torch.float16 \[3, 2\]"),
    "class too large": ({"classes": number(0, 3)}, "names classes outside 0 … 2"),
    "class twice": ({"classes": number(1, 1)}, "names a class twice for one label"),
    "wider numbers": ({"classes": number(0, 1).long()}, "classes must be torch.uint8 numbers"),
    "fewer classes": ({"classes": number(0)}, r"not \[2, 3, 2\] and \[2, 3, 1\]"),
    "nothing": ({"values": fill(0, 2, 3, 0), "classes": number()}, "must be as many, 1 to 3 of each label"),
    "more than all": ({"values": fill(0, 2, 3, 4), "classes": number(0, 1, 2, 3)}, "must be as many, 1 to 3"),
    "count in words": ({"count": "three"}, "count must be the number of classes, not 'three'"),
    "huge count": ({"count": 2**40}, "count must be the number of classes"),
    "other count": ({"count": 4}, "must be finite float32 numbers, views × 3 × 3, not 2×3×4"),
    "true count": ({"count": True}, "count must be the number of classes, not True"),
    "other items": (make_top(n=4).to_dict(), "views × 3 × 3, not 2×4×3"),
    "more keys": ({"tail": 1}, "must be a tensor, or a dict of values, classes, count"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_values_that_are_no_labels_are_refused(damage: str, tmp_path: Path) -> None:
    change, sentence = DAMAGES[damage]
    write_tensors(tmp_path / "set.pt", spoil(**change))
    with pytest.raises(SetError, match=f"set.pt: view_labels.*{sentence}") as caught:
        DistilledSet.load(tmp_path / "set.pt")
    assert "\n" not in str(caught.value)


def test_labels_of_no_classes_beside_those_of_views_are_refused(tmp_path: Path) -> None:
    write_tensors(tmp_path / "set.pt", make_top_set().to_dict() | {"labels": torch.ones(3)})
    with pytest.raises(SetError, match=r"labels 3 must be \(n, \*item\) and \(n, classes\)"):
        DistilledSet.load(tmp_path / "set.pt")


def test_where_all_classes_are_kept_they_add_up_to_one() -> None:
    values, classes = torch.zeros(1, 1, 3).half(), torch.arange(3).expand(1, 1, 3).byte()
    with pytest.raises(SetError, match="of a label add up to 0: labels are probabilities"):
        TopLabels(values, classes, 3)


def test_a_negative_class_is_refused() -> None:
    values, classes = torch.zeros(1, 1, 2).half(), torch.tensor([[[-1, 4]]], dtype=torch.int16)
    with pytest.raises(SetError, match="names classes outside 0 … 299"):
        TopLabels(values, classes, 300)


def test_a_format_and_its_labels_per_view_must_agree(tmp_path: Path) -> None:
    top, whole = make_top_set().to_dict(), replace(make_top_set(), view_labels=make_labels(2, 3, 3)).to_dict()
    for content, sentence in (
        (top | {"format": "distill-set/1"}, '"distill-set/1" has view_labels as a tensor'),
        (top | {"format": "distill-set/2"}, '"distill-set/2" has view_labels as a tensor'),
        (whole | {"format": "distill-set/3"}, '"distill-set/3" has view_labels as a dict'),
        (top | {"codes": {}}, '"distill-set/3" has codes and no items'),
    ):
        write_tensors(tmp_path / "set.pt", content)
        with pytest.raises(SetError, match=sentence):
            DistilledSet.load(tmp_path / "set.pt")


def test_a_spoiled_export_is_refused(tmp_path: Path) -> None:
    safetensors.write_set(make_top_set(), tmp_path / "folder")
    path = tmp_path / "folder" / safetensors.METADATA
    content = json.loads(path.read_text())
    assert content["format"] == "distill-set/3"
    content["view_labels"]["classes"] = content["view_labels"]["values"]
    path.write_text(json.dumps(content))
    with pytest.raises(SetError, match="view_labels.classes must be torch.uint8 numbers"):
        load_set(tmp_path / "folder")
