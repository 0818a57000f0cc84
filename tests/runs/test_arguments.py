"""The arguments of distill.distill(): every odd value of every one works or is refused in one sentence."""

import inspect
import math
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import distill
from distill import DistilledSet, UserError
from tests.data_oddities import DATA_ODDITIES, X, Y, easy_data

PARAMETERS = inspect.signature(distill.distill).parameters
ODD_VALUES: dict[str, Callable[[], Any]] = {
    "list": list, "dict": dict, "object": object, "word": lambda: "x", "minus one": lambda: -1,
    "zero": lambda: 0, "NaN": lambda: math.nan, "infinity": lambda: math.inf, "huge": lambda: 1e12,
    "True": lambda: True, "bytes": lambda: b"x", "function": lambda: lambda *_: None, "None": lambda: None,
    "minus a half": lambda: -0.5, "number of numpy": lambda: np.float64(0.5), "array": lambda: np.ones(3),
    "tensor": lambda: torch.ones(()), "type": lambda: int, "set": lambda: {1}, "path": lambda: Path("x"),
    "complex": lambda: 1j, "empty word": lambda: "", "surrogate": lambda: "\ud800",
    "list of words": lambda: ["x"],
}  # fmt: skip


def small_network() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 4))


def run(**arguments: Any) -> DistilledSet:
    """distill() on easy data with few steps and these arguments."""
    quick = {
        "data": (X[:60], Y[:60]), "network": small_network(), "n": 4, "outer_steps": 2, "inner_steps": 2,
        "outer_batch": 8, "init": "fixed",
    }  # fmt: skip
    return distill.distill(**quick | arguments)


@pytest.mark.parametrize("value", ODD_VALUES)
@pytest.mark.parametrize("name", PARAMETERS)
def test_every_odd_argument_works_or_is_one_sentence(name: str, value: str) -> None:
    limit = {"minutes": 1e-5} if name == "outer_steps" else {}  # without a number, time alone ends the run
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = run(**{name: ODD_VALUES[value](), **limit})
        except UserError as error:
            sentence = str(error)
            assert sentence.strip()
            assert len(sentence) < 400
            assert "\n" not in sentence
            assert "--" not in sentence
        else:
            assert result.items.isfinite().all()


def bits(data: DistilledSet) -> torch.Tensor:
    return torch.cat([data.items.flatten(), data.labels.flatten(), data.lrs.flatten()])


@pytest.mark.parametrize(
    "arguments",
    [
        {"n": np.int64(4)},
        {"n": torch.tensor(4)},
        {"seed": np.int64(0), "outer_steps": np.int32(2)},
        {"held_out": torch.tensor(6)},
        {"inner_steps": np.uint8(2)},
        {"progress": np.bool_(False)},
        {"minutes": np.float64(5)},
    ],
    ids=lambda arguments: ", ".join(f"{k} {type(v).__name__}" for k, v in arguments.items()),
)
def test_numbers_of_numpy_and_torch_are_numbers(arguments: dict[str, Any]) -> None:
    plain = {name: value.item() for name, value in arguments.items()}
    torch.manual_seed(0)
    first = run(**arguments)
    torch.manual_seed(0)
    assert torch.equal(bits(first), bits(run(**plain)))


def test_a_start_is_a_path_as_a_word_a_path_or_the_set_itself(tmp_path: Path) -> None:
    network, file = small_network(), tmp_path / "few.pt"
    few = run(network=network)
    few.save(file)
    by_word, by_path, by_set = (run(network=network, start=start) for start in (str(file), file, few))
    assert torch.equal(bits(by_word), bits(by_path))
    assert torch.equal(bits(by_word), bits(by_set))
    assert not torch.equal(bits(by_word), bits(few))
    with pytest.raises(UserError, match=r"start DistilledSet.pt holds items \(4, 1, 8, 8\)"):
        run(network=network, start=few, n=2)


def test_augment_is_a_word_or_a_list_of_words() -> None:
    network = small_network()
    words = run(network=network, augment=["shift", "flip"])
    assert torch.equal(bits(words), bits(run(network=network, augment="shift-flip")))
    assert words.inner["augment"] == "shift-flip"
    with pytest.raises(UserError, match='augment holds 3: give words, as "shift-flip"'):
        run(augment=["shift", 3])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"minutes": "1"}, "minutes must be a finite number, not '1'"),
        ({"lr": "0.1"}, "lr must be a finite number, not '0.1'"),
        ({"lr": 1e12}, "lr must be at most 1e+06, not 1e+12"),
        ({"init": None}, "init is None: leave it out for its default"),
        ({"seed": -1}, "seed must be a whole number from 0 to "),
        ({"seed": True}, "seed must not be True: leave it out for its default"),
        ({"minutes": 1e12}, "minutes must be at most 525960, not 1e+12"),
        ({"progress": 1}, "progress must be True or False, not 1"),
        ({"loss": "mse"}, "loss is a str: give a function of (logits, labels)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "arguments",
)
def test_api_words_of_wrong_types(arguments: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UserError, match=re.escape(sentence)):
        run(**arguments)


def test_a_command_in_a_sentence_stays_a_command() -> None:
    with pytest.raises(UserError, match="`distill text --train FILE.csv --test FILE.csv`"):
        run(data=DATA_ODDITIES["hub texts"]())


def learn(data: Any, **arguments: Any) -> DistilledSet:
    """Enough steps to learn the four classes."""
    return run(data=data, outer_steps=60, inner_steps=5, outer_batch=64, outer_lr=0.05, **arguments)


@pytest.mark.parametrize(
    "name", ["numpy arrays", "uint8 images (m, h, w)", "words as labels", "loader", "hub splits"]
)
def test_distill_learns_from_common_forms(name: str) -> None:
    data = learn(DATA_ODDITIES[name]())
    assert data.scores["accuracy"]["mean"] > 0.8
    assert data.scores["accuracy"]["split"] == ("test" if name == "hub splits" else "held-out")


def test_numpy_arrays_and_tensors_give_the_same_bits() -> None:
    network = small_network()
    x, y = easy_data(60)
    assert torch.equal(
        bits(run(network=network, data=(x, y))), bits(run(network=network, data=(x.numpy(), y.numpy())))
    )
