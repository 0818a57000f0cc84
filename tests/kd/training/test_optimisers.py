"""Optimisers of a recipe: torch's own, with their arguments checked."""

import inspect
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from torch import nn

from distill.kd.recipe.files import parse_value
from distill.kd.recipe.parts import OptimizerPart, RecipeError
from distill.kd.training.arguments import check_argument
from distill.kd.training.optimisers import build_optimiser, try_optimiser
from distill.student.loop import list_optimisers
from tests.helpers import waves


def parse(raw: Any) -> OptimizerPart:
    return parse_value(OptimizerPart, raw, "optimizer")


def train(optimiser: torch.optim.Optimizer, weight: nn.Parameter) -> torch.Tensor:
    """The weight after three steps on a bent loss."""
    for _ in range(3):
        optimiser.zero_grad()
        (weight.pow(2).sum() + weight.sin().sum()).backward()
        optimiser.step()
    return weight.detach()


ARGUMENTS: dict[str, dict[str, Any]] = {
    "SGD": {"momentum": 0.9, "weight_decay": 5e-4, "nesterov": True, "lr": 0.1},
    "adam": {"betas": [0.5, 0.9], "eps": 1e-6},
    "ADAMW": {"weight_decay": 0.1, "amsgrad": True},
    "rmsprop": {"alpha": 0.9, "momentum": 0.5, "centered": True},
    "Adafactor": {"eps": [None, 1e-3]},
}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_an_optimiser_with_arguments_steps_as_torch_s(name: str) -> None:
    arguments = ARGUMENTS[name]
    own, torch_s = (nn.Parameter(waves(3, 2)) for _ in range(2))
    classes = {word.lower(): optimiser for word, optimiser in list_optimisers().items()}
    expected = classes[name.lower()]([torch_s], **{"lr": 0.01, **arguments})
    built = build_optimiser(parse({"name": name, **arguments}), [own], 0.01, "optimizer")
    assert type(built) is type(expected)
    assert torch.equal(train(built, own), train(expected, torch_s))


@pytest.mark.parametrize("name", list_optimisers())
def test_every_optimiser_without_a_closure_is_a_word_in_any_case(name: str) -> None:
    for word in (name, name.lower(), name.upper()):
        assert type(try_optimiser(parse(word), 0.01, "o")).__name__ == name
        assert try_optimiser(parse(word), 0.01, "o").param_groups[0]["lr"] == 0.01


ANNOTATIONS: list[tuple[Any, Any, bool]] = [
    (int, 3, True), (int, 3.5, False), (int, True, False), (float, 3, True), (float, "3", False),
    ("float | torch.Tensor", 0.5, True), ("typing.Optional[int]", None, True), (int, None, False),
    ("typing.Tuple[float, float]", [0.9, 0.99], True), (tuple[float, float], 0.9, False),
    (Iterable[int], [1, 2], True), (Iterable[int], [1.5], False), (float, [0.1], False),
    ("typing.Union[float, typing.List[float]]", [0.1], True), ("float | list[float]", 0.1, True),
    (bool, True, True), (bool, 1, False), ("Literal['cos', 'linear']", "cos", True),
    (inspect.Parameter.empty, object(), True),
]  # fmt: skip


@pytest.mark.parametrize(("annotation", "value", "fits"), ANNOTATIONS)
def test_arguments_are_of_the_types_that_signatures_name(annotation: Any, value: Any, fits: bool) -> None:
    """As torch of today and of its oldest version that is supported writes them."""
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameter = inspect.Parameter("x", kind, annotation=annotation)
    if fits:
        assert check_argument(value, parameter, "o.x") is None
        return
    with pytest.raises(RecipeError, match="^o.x must be "):
        check_argument(value, parameter, "o.x")


REFUSED: list[tuple[Any, str]] = [
    ("Adamm", 'o: no optimiser called "Adamm"; did you mean "Adam"?'),
    ("lbfgs", "o: lbfgs takes steps with a closure that computes the loss again, which a turn does not have"),
    ("SparseAdam", "o: SparseAdam takes sparse gradients, and those of networks are dense: choose another"),
    ("muon", "o: muon takes matrices alone"),
    ({"name": "sgd", "momentun": 0.9}, 'o: no argument of SGD called "momentun"; did you mean "momentum"?'),
    ({"name": "sgd", "params": 3}, 'o: no argument of SGD called "params"'),
    ({"name": "sgd", "momentum": -1}, "o: SGD refuses this: Invalid momentum value: -1"),
    ({"name": "sgd", "momentum": "fast"}, "o.momentum must be a number, not 'fast'"),
    ({"name": "sgd", "momentum": True}, "o.momentum must be a number, not True"),
    ({"name": "sgd", "nesterov": 1}, "o.nesterov must be true or false, not 1"),
    ({"name": "sgd", "nesterov": True}, "o: SGD refuses this: Nesterov momentum requires a momentum"),
    ({"name": "sgd", "lr": 0}, "o.lr must be above 0, not 0"),
    ({"name": "sgd", "lr": [0.1]}, "o.lr must be a number, not [0.1]"),
    ({"name": "adam", "betas": 0.9}, "o.betas must be a list of numbers, not 0.9"),
    ({"name": "adam", "betas": [0.9]}, "o.betas must be 2 numbers, not [0.9]"),
    ({"name": "adam", "betas": [0.9, 0.99, 0.999]}, "o.betas must be 2 numbers, not [0.9, 0.99, 0.999]"),
]


@pytest.mark.parametrize(("raw", "sentence"), REFUSED, ids=[str(raw) for raw, _ in REFUSED])
def test_an_optimiser_that_cannot_be_is_refused_in_one_sentence(raw: Any, sentence: str) -> None:
    with pytest.raises(RecipeError) as error:
        try_optimiser(parse(raw), 0.01, "o")
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        ({"name": "sgd", "lr": float("nan")}, "optimizer.lr must be a finite number, not nan"),
        ({"name": "sgd", "betas": {"a": 1}}, "optimizer.betas must be a word, a number or a list of them"),
        ({"name": 3}, "optimizer.name must be a word, not 3"),
        ([0.1], "optimizer must be a word, not [0.1]"),
    ],
    ids=("nan", "keys", "a number as a name", "a list"),
)
def test_values_that_no_optimiser_takes(raw: Any, sentence: str) -> None:
    with pytest.raises(RecipeError) as error:
        parse(raw)
    assert str(error.value).startswith(sentence)
