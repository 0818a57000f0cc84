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
from distill.kd import relabel
from distill.randomness import stream
from distill.student import (
    accuracy,
    compare,
    evaluate,
    initial_weights,
    train,
    train_ordinary,
)
from distill.student.comparison import baselines
from tests.data_oddities import NAMES, PIXELS, WORDS, ListDataset, X, Y, easy_pixels, hub_images
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
        ({"protocol": "ordinry"}, 'protocol: no protocol called "ordinry"; did you mean "ordinary"'),
        ({"protocol": 7}, r"protocol is 7: give a word \(recipe, dc, .*, or an object such as SetRecipe"),
        ({"protocol": "recommended"}, "the set recommends no protocol: choose one of recipe, dc"),
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
    monkeypatch.setattr(baselines, "ORDINARY", ((20, 1),))
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


def test_a_student_in_train_mode_is_measured_and_teaches_in_eval_mode(few: DistilledSet) -> None:
    """As after fine-tuning it: with dropout the score and the labels would be others each time."""
    student = train(few, nn.Sequential(nn.Flatten(), nn.Dropout(0.9), nn.Linear(64, 4)))
    score, labels = accuracy(student, (TEST_X, TEST_Y)), relabel(few, student).labels
    student.train()
    assert accuracy(student, (TEST_X, TEST_Y)) == score
    assert torch.equal(relabel(few, student).labels, labels)
    assert student.training


def test_new_labels_have_no_score_of_the_old_ones(few: DistilledSet) -> None:
    scored = easy_set(scores={"accuracy": {"mean": 0.97, "std": 0.0, "n": 1}, "full_data": 0.99})
    assert relabel(scored, train(few)).scores == {"full_data": 0.99}


def test_a_teacher_with_a_softmax_is_refused_and_a_network_warned_of(few: DistilledSet) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.Softmax(1))
    with pytest.raises(UserError, match="teacher answers probabilities: leave out its last softmax"):
        relabel(few, network)
    with pytest.warns(UserWarning, match="answers probabilities, and losses take logits"):
        train(few, network)


def test_folders_that_lack_a_class_are_not_measured_by_their_own_numbers(few: DistilledSet) -> None:
    """torchvision's ImageFolder numbers the classes that a folder has, here bee, cat and dog from 0."""
    rows = [(x, y - 1) for x, y in zip(TEST_X, TEST_Y.tolist(), strict=True) if y]
    data = ListDataset(rows)
    data.classes = list(NAMES[1:])  # type: ignore[attr-defined]
    with pytest.raises(UserError, match="the data have the 3 classes bee, cat, dog, and the student 4"):
        accuracy(train(few), data)
    assert evaluate(few, data, seeds=1).mean > 0.9


def test_evaluate_starts_a_users_network_as_train_does() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 4))
    fixed = distill.distill((X, Y), network, n=4, init="fixed", outer_steps=3)
    score = accuracy(train(fixed, network), (TEST_X, TEST_Y))
    assert evaluate(fixed, (TEST_X, TEST_Y), network).scores == (score,)
    assert len(evaluate(fixed, (TEST_X, TEST_Y), network, init="random", seeds=2).scores) == 2


def test_a_set_of_a_loss_of_ones_own_is_measured_with_it(few: DistilledSet) -> None:
    def loss(logits: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return ((logits.softmax(1) - y) ** 2).sum(1).mean()

    own = easy_set(inner={**few.inner, "loss": "loss"})
    assert 0 <= evaluate(own, (TEST_X, TEST_Y), seeds=1, inner_loss=loss).mean <= 1
    with pytest.raises(UserError, match="inner loss of your own, loss: measure it by"):
        compare(own, (X, Y), (TEST_X, TEST_Y), "mlp")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"epochs": 0}, "epochs must be above 0, not 0"),
        ({"epochs": -1}, "epochs must be above 0, not -1"),
        ({"epochs": 10**12}, "epochs must be at most 1,000,000, .* it would take 32 years"),
        ({"batch": 10**12}, "batch must be at most 1,000,000"),
        ({"batch": 1.5}, "batch must be a whole number, not 1.5"),
        ({"optimiser": "adam"}, "optimiser is 'adam'.*give a class or function"),
        ({"optimiser": torch.optim.SGD([X.clone()], lr=0.1)}, "optimiser is SGD.*give a class or function"),
        ({"weights": {"module.1.weight": X}}, "module.1.weight is no weight of this network"),
        ({"weights": {"1.weight": X}}, "1.weight is no weight of this network"),
    ],
    ids=lambda value: value if isinstance(value, str) else "arguments",
)
def test_wrong_arguments_of_train_ordinary(arguments: dict[str, Any], sentence: str) -> None:
    right = {
        "data": (X, Y), "network": nn.Sequential(nn.Flatten(), nn.Linear(64, 4)), "weights": None,
        "epochs": 1, "optimiser": torch.optim.Adam, "batch": 32, "generator": torch.Generator(),
    }  # fmt: skip
    with pytest.raises(UserError, match=sentence):
        as_users_call(train_ordinary)(**right | arguments)


def test_a_count_of_initial_weights_has_a_bound(few: DistilledSet) -> None:
    with pytest.raises(UserError, match=r"count must be at most 10,000, .* it would take 40 TB"):
        initial_weights(few, "mlp", "random", 10**9)
