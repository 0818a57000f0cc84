"""evaluate(), compare(), accuracy() and train_ordinary() with real data in the forms that people bring."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import distill
from distill import DistilledSet, UserError
from distill.randomness import stream
from distill.student import (
    accuracy,
    baselines,
    compare,
    comparison,
    evaluate,
    initial_weights,
    train,
    train_ordinary,
)
from distill.student.baselines import train_epochs
from tests.data_oddities import NAMES, PIXELS, WORDS, X, Y, easy_pixels, hub_images
from tests.helpers import as_users_call, small_set

TEST_PIXELS, TEST_Y = easy_pixels(60, 1)
TEST_X = (TEST_PIXELS.float().unsqueeze(1) - 90) / 62


def easy_set(**changes: Any) -> DistilledSet:
    """Four real items, one of each class, for an mlp, whose students learn all four."""
    items, labels = X[:4], torch.eye(4)
    source = {"name": "easy", "classes": list(NAMES), "mean": [90 / 255], "std": [62 / 255]}
    schedule, lrs = torch.arange(4).repeat(30, 1), torch.full((30,), 0.05)
    return small_set(
        **{"items": items, "labels": labels, "source": source, "schedule": schedule, "lrs": lrs} | changes
    )


@pytest.fixture(scope="module")
def few() -> DistilledSet:
    return easy_set()


FORMS = {
    "uint8 images with names": lambda: (TEST_PIXELS, [NAMES[y] for y in TEST_Y]),
    "floats as the network sees them": lambda: (TEST_X.numpy(), TEST_Y.numpy()),
    "a loader": lambda: DataLoader(TensorDataset(TEST_X, TEST_Y), batch_size=7),
    "a split of the hub": lambda: hub_images(60, 1),
    "one-hot labels": lambda: (TEST_X, torch.eye(4)[TEST_Y]),
    "a Dataset": lambda: distill.Dataset("easy", TEST_PIXELS.unsqueeze(1), TEST_Y, NAMES, (0.5,), (0.5,)),
}


@pytest.mark.parametrize("form", FORMS)
def test_evaluate_gives_the_same_report_for_the_same_data_in_any_form(few: DistilledSet, form: str) -> None:
    report = evaluate(few, FORMS[form](), seeds=3)
    student_scores = [accuracy(train(few, seed=k), (TEST_X, TEST_Y)) for k in range(3)]
    assert report.scores == pytest.approx(student_scores)
    assert report.mean > 0.9


def test_evaluate_takes_a_path_a_module_a_name_and_numbers_of_numpy(
    few: DistilledSet, tmp_path: Path
) -> None:
    few.save(tmp_path / "few.pt")
    test = (TEST_X, TEST_Y)
    assert evaluate(tmp_path / "few.pt", test, seeds=2) == evaluate(few, test, seeds=2)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
    weight = network[1].weight.detach().clone()
    report = evaluate(few, test, network, seeds=2)
    assert report.mean > 0.9
    assert torch.equal(network[1].weight, weight)
    assert len(as_users_call(evaluate)(few, test, "mlp", seeds=np.int64(2)).scores) == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"seeds": 0}, "seeds must be above 0, not 0"),
        ({"seeds": 2.5}, "seeds must be a whole number, not 2.5"),
        ({"seeds": 10**12}, "seeds must be at most 10,000, not 1,000,000,000,000: it would take 40 PB"),
        ({"protocol": "ordinary"}, r"protocol is 'ordinary': give SetRecipe\(\) or Ordinary"),
        ({"init": "fixed"}, "carries no weights"),
        ({"init": "fxed"}, 'no init called "fxed"'),
        ({"network": "lenett"}, 'no network called "lenett"; did you mean "lenet"'),
        ({"data": "nowhere.pt"}, "nowhere.pt: no such file"),
        ({"data": None}, "data is a NoneType: give a DistilledSet, or the path of one"),
        ({"test": None}, r"must be pairs \(x, y\), not a NoneType"),
    ],
    ids=lambda value: value if isinstance(value, str) else "arguments",
)
def test_wrong_arguments_of_evaluate(few: DistilledSet, arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        as_users_call(evaluate)(**{"data": few, "test": (TEST_X, TEST_Y), "seeds": 1} | arguments)


def test_errors_of_python_functions_have_python_names(few: DistilledSet) -> None:
    with pytest.raises(UserError, match=r"carries no weights: use random ones"):
        evaluate(few, (TEST_X, TEST_Y), init="fixed")
    with pytest.raises(UserError, match=r"carries no weights: use random ones"):
        train(few, init="fixed")


def test_accuracy_takes_class_numbers_in_any_form_but_no_words_and_no_pixels(few: DistilledSet) -> None:
    student = train(few)
    score = accuracy(student, distill.Dataset("easy", TEST_X, TEST_Y, NAMES, (0.0,), (1.0,)))
    forms = (
        (TEST_X, TEST_Y),
        (TEST_X.numpy(), TEST_Y.tolist()),
        TensorDataset(TEST_X, TEST_Y),
        (TEST_X, torch.eye(4)[TEST_Y]),
    )
    assert [accuracy(student, form) for form in forms] == [score] * 4
    with pytest.raises(UserError, match=r"uint8 images, and a student does not know how to scale.*evaluate"):
        accuracy(student, (TEST_PIXELS, TEST_Y))
    with pytest.raises(UserError, match=r"the labels are words, and a student knows class numbers only"):
        accuracy(student, (X, WORDS))
    assert accuracy(student, few) == 1.0


def test_train_ordinary_takes_real_data_in_any_form() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 4))

    def learn(data: Any) -> float:
        settings = (lambda p: torch.optim.Adam(p, lr=0.02), 10, 32, stream("x"))
        student = train_ordinary(data, network, {}, *settings)
        return accuracy(student, (TEST_X, TEST_Y))

    assert learn((X, Y)) == learn((X.numpy(), WORDS)) == learn(TensorDataset(X, Y)) > 0.9
    with pytest.raises(UserError, match="no item of class 0: number the classes"):
        learn((X, Y + 1))


def test_compare_gives_rows_from_arrays(few: DistilledSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "train_on_all", lambda train, _, *start: train_epochs(train, *start, 5))
    monkeypatch.setattr(baselines, "CHOOSING_DRAWS", 1)
    monkeypatch.setattr(baselines, "LRS", (0.05,))
    rows = compare(few, (PIXELS, WORDS), (TEST_PIXELS, TEST_Y), networks="mlp", seeds=1)
    assert {row["network"] for row in rows} == {"mlp"}
    assert rows[0]["items"] == "distilled"
    assert rows[0]["mean"] > 0.9


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"test": None}, "test is None: give real test data, or a DatasetDict"),
        ({"networks": 3}, "networks is 3: give names of networks"),
        ({"networks": ["lenett"]}, 'no network called "lenett"'),
        ({"seeds": "2"}, "seeds must be a whole number, not '2'"),
        ({"train": X}, r"must be pairs \(x, y\), not a Tensor"),
    ],
    ids=lambda value: value if isinstance(value, str) else "arguments",
)
def test_wrong_arguments_of_compare(few: DistilledSet, arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        as_users_call(compare)(
            **{"data": few, "train": (X, Y), "test": (TEST_X, TEST_Y), "seeds": 1} | arguments
        )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"epochs": -1}, "epochs must be above 0, not -1"),
        ({"epochs": 10**12}, "epochs must be at most 1,000,000, .* it would take 32 years"),
        ({"batch": 0}, "batch must be above 0, not 0"),
        ({"batch": 10**12}, "batch must be at most 1,000,000"),
        ({"optimiser": "Adam"}, "optimiser is 'Adam': give a class of torch.optim"),
    ],
    ids=str,
)
def test_wrong_arguments_of_train_ordinary(arguments: dict[str, Any], sentence: str) -> None:
    right = {"epochs": 1, "batch": 16, "optimiser": torch.optim.Adam}
    with pytest.raises(UserError, match=sentence):
        as_users_call(train_ordinary)((X, Y), "mlp", None, generator=torch.Generator(), **(right | arguments))


def test_a_count_of_initial_weights_has_a_bound(few: DistilledSet) -> None:
    with pytest.raises(UserError, match=r"count must be at most 10,000, .* it would take 40 TB"):
        initial_weights(few, "mlp", "random", 10**9)
