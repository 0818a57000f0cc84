"""The arguments of distill.distill(): every odd value of every one works or is refused in one sentence."""

import inspect
import math
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
from distill.runs.python.arguments import MAX_MINUTES
from tests.data_oddities import DATA_ODDITIES, EXPECTED, X, Y, easy_data, hub_splits

PARAMETERS = inspect.signature(distill.distill).parameters
ODD_VALUES: dict[str, Callable[[], Any]] = {
    "list": list, "dict": dict, "object": object, "word": lambda: "x", "minus one": lambda: -1,
    "zero": lambda: 0, "NaN": lambda: math.nan, "infinity": lambda: math.inf, "huge": lambda: 1e12,
    "True": lambda: True, "bytes": lambda: b"x", "function": lambda: lambda *_: None, "None": lambda: None,
    "minus a half": lambda: -0.5, "number of numpy": lambda: np.float64(0.5), "array": lambda: np.ones(3),
    "tensor": lambda: torch.ones(()), "type": lambda: int, "set": lambda: {1}, "path": lambda: Path("x"),
    "complex": lambda: 1j, "empty word": lambda: "", "surrogate": lambda: "\ud800", "list of words": lambda: ["x"],
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
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            result = run(**{name: ODD_VALUES[value]()})
        except UserError as error:
            sentence = str(error)
            assert sentence.strip()
            assert len(sentence) < 400
            assert "\n" not in sentence
            assert "--" not in sentence
        else:
            assert result.items.isfinite().all()
