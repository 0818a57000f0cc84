"""Every public function that takes a network or real data, with every odd one: right, or one sentence.

The doors are found by their signatures: a public function of distill, distill.student or distill.kd is tried
with all of NETWORK_ODDITIES as soon as it has a parameter called as one of NETWORKS, with all of
DATA_ODDITIES for one of REAL_DATA that is no distilled set.
"""

import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

import distill
import distill.kd
import distill.student
from distill import DistilledSet, UserError
from distill.data.own.libraries import read_pair
from distill.student import Student
from distill.student.comparison import baselines
from distill.student.scores import Report
from tests.data_oddities import DATA_ODDITIES, EXPECTED, easy_data
from tests.helpers import as_users_call
from tests.oddities import NETWORK_ODDITIES, RIGHT, answer_to_network, stack
from tests.recipes import CE

ROOMS = (distill, distill.student, distill.kd)
NETWORKS = ("network", "teacher", "student")  # names of parameters that take a network
REAL_DATA = ("data", "train", "test")  # names of parameters that take real data, unless they take a set


OTHER_CLASSES = ("labels with gaps", "labels from 1", "negative labels", "huge labels")
NO_CLASS = r"differ in their classes|has the class|out of range"


class Door(NamedTuple):
    """A public function, and the parameter that gets the odd value."""

    function: Callable[..., Any]
    parameter: str

    @property
    def name(self) -> str:
        return f"{self.function.__name__}({self.parameter})"


def takes_set(parameter: inspect.Parameter) -> bool:
    """Whether a parameter is a distilled set rather than real data."""
    return "DistilledSet" in str(parameter.annotation)


def is_set_of(parameter: inspect.Parameter) -> bool:
    """Whether a door needs a distilled set here."""
    return takes_set(parameter) and parameter.default is inspect.Parameter.empty


def list_doors(names: tuple[str, ...]) -> Iterator[Door]:
    """The public functions with a parameter of one of these names that is no distilled set."""
    for room in ROOMS:
        for function in (getattr(room, name) for name in room.__all__):
            parameters = inspect.signature(function).parameters if inspect.isfunction(function) else {}
            for name, parameter in parameters.items():
                if name in names and not takes_set(parameter):
                    yield Door(function, name)


@cache
def few() -> DistilledSet:
    """Four items that train a network on the easy images, whose classes have names."""
    return distill.distill(DATA_ODDITIES["own dataset of images with classes"](), "mlp", n=4, outer_steps=2)


RECIPE = {
    "networks": {"net": {"name": "mlp", "width": 8}},
    "stages": [{"turns": {"net": [CE]}, "epochs": 1, "batch": 64, "lr": 0.01}],
}
ARGUMENTS: dict[str, Callable[[], Any]] = {  # a right and small value of a parameter, by its name
    "data": easy_data, "train": easy_data, "test": partial(easy_data, 40, 1), "network": lambda: "mlp",
    "teacher": stack, "weights": lambda: None, "optimiser": lambda: partial(torch.optim.Adam, lr=0.01),
    "epochs": lambda: 1, "batch": lambda: 16, "generator": torch.Generator, "recipe": lambda: RECIPE,
    "student": lambda: Student(stack()), "n": lambda: 4, "outer_steps": lambda: 2, "inner_steps": lambda: 2,
    "outer_batch": lambda: 16, "seeds": lambda: 1, "networks": lambda: ["mlp"], "count": lambda: 1,
    "init": lambda: "random", "protocols": lambda: "recipe", "baselines": lambda: "means",
}  # fmt: skip


def complete(door: Door, value: Any, others: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a door: a value, with others beside it or else right and small ones."""
    parameters = inspect.signature(door.function).parameters
    arguments = {
        name: few() if is_set_of(parameter) else ARGUMENTS[name]()
        for name, parameter in parameters.items()
        if name != door.parameter and (is_set_of(parameter) or name in ARGUMENTS)
    }
    return {door.parameter: value, **arguments, **others}


def call(door: Door, value: Any, **others: Any) -> Any:
    """What a door answers."""
    return as_users_call(door.function)(**complete(door, value, others))


def answer_to_data(door: Door, name: str) -> str:
    """RIGHT or the pattern of a sentence, for real data at a door.

    Test data may lack classes and are held against the classes of a set or of training data; a student alone
    knows neither the names of its classes nor the scale of its pixels.
    """
    function, is_test = door.function.__name__, door.parameter == "test"
    with_set = function in ("evaluate", "compare")
    if name == "hub splits" and function in ("accuracy", "train_ordinary"):
        return r"data holds the splits train, test: give one"
    if function == "accuracy" and EXPECTED[name] == RIGHT:
        items, labels = read_pair(DATA_ODDITIES[name]())
        words = r"labels are words, and a student knows" if labels.are_words else RIGHT
        return r"uint8 images, and a student does not know" if items.dtype == torch.uint8 else words
    if name == "None" and function in ("distill", "teach") and (is_test or function == "teach"):
        return RIGHT  # no test data, or those of the recipe
    if name == "one class" and (is_test or function == "accuracy"):
        return RIGHT
    if name in OTHER_CLASSES and (is_test or with_set or function == "accuracy"):
        return NO_CLASS
    if name == "None" and function == "compare" and is_test:
        return r"test is None: give real test data"
    if name == "one class" and function == "compare":
        return r"has no item of class"
    if name == "labels as words of numbers from 1" and with_set:
        return NO_CLASS
    return EXPECTED[name]


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Baselines that train for a moment."""
    monkeypatch.setattr(baselines, "ORDINARY", ((2, 1),))
    monkeypatch.setattr(baselines, "CHOOSING_DRAWS", 1)
    monkeypatch.setattr(baselines, "LRS", (0.1,))


def judge(door: Door, value: Any, expected: str, **others: Any) -> None:
    """Fail unless the door is right where that is expected, and otherwise refuses in the sentence."""
    try:
        result = call(door, value, **others)
    except UserError as error:
        sentence = str(error)
        assert expected != RIGHT, sentence
        assert re.search(expected, sentence), sentence
        assert "\n" not in sentence
        assert len(sentence) < 400
        assert not re.search(r"--\w", re.sub(r"`.*?`", "", sentence)), "it speaks of the command line"
        return
    assert expected == RIGHT, f"{door.name} answered {result!r:.200}"
    check_student(result)


def check_student(result: Any) -> None:
    """A student answers in eval mode: the same each time, alone and in any batch."""
    if isinstance(result, Student):
        x, y = easy_data(80)
        logits, order = result.logits(x), y.argsort()
        assert torch.equal(result.logits(x), logits)
        torch.testing.assert_close(result.logits(x[order]), logits[order], rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(result.logits(x[:1]), logits[:1], rtol=1e-3, atol=1e-4)


def comparable(result: Any) -> list[Tensor]:
    """The numbers in what a door answers."""
    if isinstance(result, DistilledSet):
        return [result.items, result.labels, result.lrs]
    if isinstance(result, nn.Module):
        return [*result.state_dict().values()]
    if isinstance(result, Tensor):
        return [result]
    if isinstance(result, Report):
        return comparable(result.scores)
    if isinstance(result, dict | list | tuple):
        return [
            t
            for value in (result.values() if isinstance(result, dict) else result)
            for t in comparable(value)
        ]
    return [torch.tensor(result, dtype=torch.float64)] if isinstance(result, float) else []


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Within it, torch makes tensors of this type."""
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


def tensors_of(network: Any) -> dict[str, Tensor]:
    """Copies of a module's parameters and buffers."""
    if not (isinstance(network, nn.Module) and hasattr(network, "_modules")):
        return {}
    tensors = dict([*network.named_parameters(), *network.named_buffers()])
    numbers = {k: t for k, t in tensors.items() if not (nn.parameter.is_lazy(t) or t.is_meta)}
    return {name: tensor.detach().clone() for name, tensor in numbers.items()}


@pytest.mark.parametrize("name", NETWORK_ODDITIES)
@pytest.mark.parametrize("door", [*list_doors(NETWORKS)], ids=lambda door: door.name)
def test_a_network_is_right_or_refused(door: Door, name: str) -> None:
    few()
    network = NETWORK_ODDITIES[name]()
    before, state = tensors_of(network), torch.random.get_rng_state()
    judge(door, network, answer_to_network(door.function.__name__, name))
    after = tensors_of(network)
    assert all(torch.equal(after[key], tensor) for key, tensor in before.items()), "the user's network moved"
    assert torch.equal(torch.random.get_rng_state(), state), "the user's random state moved"


def contexts_nest() -> bool:
    """Whether a device context inside another one counts, as in torch 2.14, and not yet in 2.6."""
    with torch.device("meta"), torch.device("cpu"):
        return not torch.zeros(1).is_meta


TORCH = {  # what a user may have set around a call
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "another default device": partial(torch.device, "meta"),
    "float64 by default": partial(default_dtype, torch.float64),
}


@pytest.mark.parametrize("name", TORCH)
@pytest.mark.parametrize("door", [*list_doors((*NETWORKS, "recipe"))], ids=lambda door: door.name)
def test_what_a_user_has_set_in_torch_changes_no_answer(door: Door, name: str) -> None:
    if name == "another default device" and not contexts_nest():
        pytest.skip("in this version of torch an outer device context wins")
    value = stack() if door.parameter in NETWORKS else RECIPE
    first, second = (complete(door, value, {}) for _ in range(2))
    expected = comparable(door.function(**first))
    with TORCH[name]():
        result = door.function(**second)
    assert len(expected) > 0
    pairs = zip(comparable(result), expected, strict=True)
    assert all(torch.equal(a, b) and a.dtype == b.dtype for a, b in pairs)


@pytest.mark.parametrize("name", DATA_ODDITIES)
@pytest.mark.parametrize("door", [*list_doors(REAL_DATA)], ids=lambda door: door.name)
def test_data_are_right_or_refused(door: Door, name: str) -> None:
    """The odd data are beside training or test data of the same form, where that form is right."""
    parameters = inspect.signature(door.function).parameters
    form = DATA_ODDITIES["hub images" if name == "hub splits" else name]
    partners = [p for p in REAL_DATA if p in parameters and p != door.parameter and EXPECTED[name] == RIGHT]
    others = {partner: form() for partner in partners if not takes_set(parameters[partner])}
    judge(door, DATA_ODDITIES[name](), answer_to_data(door, name), **others)
