"""relabel() and teach() from Python, with data and teachers in the forms that people bring."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from distill import UserError
from distill.kd import relabel, teach
from distill.student import Student, accuracy
from tests.data_oddities import PIXELS, WORDS, X, Y, easy_pixels, hub_splits
from tests.helpers import CLASSES, as_users_call, small_set
from tests.recipes import CE, build_raw_recipe, write_recipe

RECIPE = {
    "networks": {"net": {"name": "mlp", "width": 16}},
    "stages": [{"turns": {"net": [CE]}, "epochs": 20, "batch": 32, "lr": 0.01}],
}
TEST = easy_pixels(60, 1)


class Teacher(nn.Module):
    """A linear teacher of 8×8 items."""

    def __init__(self, classes: int = CLASSES) -> None:
        super().__init__()
        self.linear = nn.Linear(64, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(x.flatten(1))


def test_relabel_gives_the_teacher_s_softened_answers(tmp_path: Path) -> None:
    data, teacher = small_set(), Teacher()
    expected = (teacher(data.items) / 2).softmax(dim=1)
    for form in (teacher, Student(teacher)):
        torch.testing.assert_close(as_users_call(relabel)(data, form, tau=np.float32(2)).labels, expected)
    data.save(tmp_path / "set.pt")
    torch.testing.assert_close(relabel(tmp_path / "set.pt", teacher, 2).labels, expected)


def test_labels_of_a_regression_keep_their_mean_and_spread() -> None:
    inner = {"rule": "sgd", "momentum": 0.0, "loss": "squared-error", "softmax_scale": 0.2}
    data, teacher = small_set(inner=inner), Teacher()
    labels, shares = relabel(data, teacher).labels, teacher(data.items).softmax(dim=1)
    torch.testing.assert_close(labels.mean(dim=1), torch.zeros(len(data)), rtol=0, atol=1e-6)
    torch.testing.assert_close(labels.std(correction=0), data.labels.std(correction=0))
    assert torch.equal(labels.argsort(dim=1), shares.argsort(dim=1))
    assert "softmax_scale" not in relabel(data, teacher).inner


def test_a_relabelled_set_does_not_carry_the_accuracy_of_its_old_labels() -> None:
    data = small_set(scores={"accuracy": {"mean": 0.97, "std": 0.01, "n": 3}, "full_data": 0.99})
    relabelled = relabel(data, Teacher())
    assert relabelled.scores == {"full_data": 0.99}
    assert "97" not in repr(relabelled)


def test_a_teacher_file_of_a_network_of_one_s_own_says_to_load_it_into_the_module(tmp_path: Path) -> None:
    torch.save(
        {"state_dict": {f"module.{k}": w for k, w in Teacher().state_dict().items()}}, tmp_path / "t.pt"
    )
    data = small_set(network={"name": "Teacher", "init": "random", "scheme": "own"})
    with pytest.raises(UserError, match="t.pt holds weights alone, .* load the file into your module"):
        relabel(data, tmp_path / "t.pt")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"teacher": Teacher(4)}, "the teacher answers 3×4 for 3 items of 3 classes"),
        ({"teacher": nn.Linear(3, 3)}, r"the teacher does not take 3×1×8×8 items \(RuntimeError: mat1"),
        ({"teacher": 3}, "teacher is 3: give a trained module, or the path"),
        ({"teacher": Teacher}, "teacher is <class .*: give a trained module"),
        ({"teacher": "nowhere.pt"}, "nowhere.pt"),
        ({"tau": 0}, "tau must be above 0, not 0"),
        ({"tau": True}, "tau must be a finite number, not True"),
        ({"tau": float("nan")}, "tau must be a finite number, not nan"),
        ({"data": [1]}, "data is a list: give a DistilledSet, or the path of one"),
    ],
    ids=lambda value: value if isinstance(value, str) else "arguments",
)
def test_arguments_of_relabel_of_wrong_types(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        as_users_call(relabel)(**{"data": small_set(), "teacher": Teacher()} | arguments)


@pytest.mark.parametrize("form", ["uint8 images with names", "hub splits"])
def test_teach_trains_the_networks_of_a_recipe_on_own_data(form: str) -> None:
    data, test = ((PIXELS, WORDS), TEST) if form != "hub splits" else (hub_splits(), None)
    experiment = teach(RECIPE, data, test)
    assert isinstance(experiment.students["net"], Student)
    assert experiment.scores["net"]["accuracy"] > 0.9


def test_without_test_data_a_tenth_is_held_out() -> None:
    experiment = teach(RECIPE, (X, Y))
    assert experiment.scores["net"]["accuracy"] > 0.9
    assert accuracy(experiment.students["net"], (X, Y)) > 0.9


def test_teach_takes_a_file_and_its_own_data(tmp_path: Path) -> None:
    raw = build_raw_recipe(
        tmp_path, {"net": {"name": "mlp", "width": 8}}, [{"turns": {"net": [CE]}, "epochs": 2}]
    )
    path = write_recipe(tmp_path, raw)
    assert teach(path).scores == teach(str(path)).scores == teach(raw).scores


@pytest.mark.parametrize(
    ("recipe", "sentence"),
    [
        (3, "recipe is a int: give the path of a YAML file, or a dict"),
        ("nowhere.yaml", "nowhere.yaml cannot be read"),
        ({"networks": 3, "stages": []}, "networks must be keys and values"),
        ({"networks": {"a": {"nme": "mlp"}}, "stages": []}, 'no key called "nme"'),
    ],
    ids=("a number", "no file", "networks of a number", "a wrong key"),
)
def test_recipes_of_wrong_types(recipe: Any, sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        as_users_call(teach)(recipe, (X, Y))
