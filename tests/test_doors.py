"""Every public function that takes a network or real data, with every odd one: right, or one sentence.

The doors are found by their signatures: a new public function of distill, distill.student or distill.kd is
tried as soon as it has a parameter of NETWORKS or real data, and must name its other arguments as the rest do.
"""

import copy
import inspect
import re
from collections.abc import Callable, Iterator
from functools import cache, partial
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

import distill
import distill.kd
import distill.student
from distill import DistilledSet, UserError
from distill.student import baselines
from distill.student.training import Student
from tests.data_oddities import DATA_ODDITIES, EXPECTED, easy_data
from tests.oddities import NETWORK_ANSWERS, NETWORK_ODDITIES, RIGHT, stack

ROOMS = (distill, distill.student, distill.kd)
NETWORKS = ("network", "teacher")  # names of parameters that take a network
REAL_DATA = ("data", "train", "test")  # names of parameters that take real data, unless they take a set


class Door(NamedTuple):
    """A public function and the parameter that gets the odd value."""

    function: Callable[..., Any]
    parameter: str

    @property
    def name(self) -> str:
        return f"{self.function.__name__}({self.parameter})"


def takes_set(parameter: inspect.Parameter) -> bool:
    """Whether a parameter is a distilled set rather than real data."""
    return "DistilledSet" in str(parameter.annotation)


def list_doors(names: tuple[str, ...]) -> Iterator[Door]:
    """The public functions with a parameter of these names, that is not a distilled set."""
    for room in ROOMS:
        for function in (getattr(room, name) for name in room.__all__):
            if inspect.isfunction(function):
                for name, parameter in inspect.signature(function).parameters.items():
                    if name in names and not takes_set(parameter):
                        yield Door(function, name)


@cache
def few() -> DistilledSet:
    """Four items that train a linear network on the easy data."""
    return distill.distill(easy_data(), stack(), n=4, outer_steps=20, inner_steps=3)


RECIPE = {
    "data": {"name": "mnist"},
    "networks": {"student": {"name": "mlp", "width": 8, "depth": 1}},
    "stages": [{"train": "student", "losses": [{"loss": "ce"}], "epochs": 1}],
}
ARGUMENTS: dict[str, Callable[[], Any]] = {  # right values of required parameters, by name
    "data": easy_data, "train": easy_data, "test": partial(easy_data, 40, 1), "network": stack, "teacher": stack,
    "weights": dict, "optimiser": lambda: partial(torch.optim.Adam, lr=0.01), "epochs": lambda: 1,
    "batch": lambda: 16, "generator": torch.Generator, "recipe": lambda: RECIPE, "student": lambda: Student(stack()),
    "n": lambda: 4, "outer_steps": lambda: 2, "inner_steps": lambda: 2, "seeds": lambda: 1,
    "networks": lambda: ["mlp"],
}  # fmt: skip


def call(door: Door, value: Any) -> Any:
    """What a door answers to a value, with right and small arguments beside it."""
    parameters = inspect.signature(door.function).parameters
    arguments = {
        name: few() if takes_set(parameter) else ARGUMENTS[name]()
        for name, parameter in parameters.items()
        if name in ARGUMENTS or takes_set(parameter)
    }
    return door.function(**{**arguments, door.parameter: value})


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Baselines that train for a moment."""
    monkeypatch.setattr(baselines, "ORDINARY", ((2, 1),))
    monkeypatch.setattr(baselines, "CHOOSING_DRAWS", 1)
    monkeypatch.setattr(baselines, "LRS", (0.1,))


def judge(door: Door, value: Any, expected: str) -> None:
    """Fail unless the door is right where that is expected, and otherwise refuses in the sentence."""
    try:
        result = call(door, value)
    except UserError as error:
        sentence = str(error)
        assert "\n" not in sentence
        assert len(sentence) < 400
        assert "--" not in sentence.replace("distill text --train FILE.csv --test FILE.csv", "")
        assert expected != RIGHT, f"{door.name} refuses what is right: {sentence}"
        assert re.search(expected, sentence), sentence
        return
    assert expected == RIGHT, f"{door.name} answered {result!r:.200}"


@pytest.mark.parametrize("name", NETWORK_ODDITIES)
@pytest.mark.parametrize("door", [*list_doors(NETWORKS)], ids=lambda door: door.name)
def test_a_network_is_right_or_refused(door: Door, name: str) -> None:
    value = NETWORK_ODDITIES[name]()
    before = copy.deepcopy(value.state_dict()) if isinstance(value, nn.Module) else {}
    judge(door, value, NETWORK_ANSWERS[name][door.function.__name__])
    after = value.state_dict() if isinstance(value, nn.Module) else {}
    assert all(torch.equal(after[key], tensor) for key, tensor in before.items() if not is_lazy(tensor))


@pytest.mark.parametrize("name", DATA_ODDITIES)
@pytest.mark.parametrize("door", [*list_doors(REAL_DATA)], ids=lambda door: door.name)
def test_data_are_right_or_refused(door: Door, name: str) -> None:
    judge(door, DATA_ODDITIES[name](), EXPECTED[name])
