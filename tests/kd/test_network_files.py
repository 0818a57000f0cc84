"""Files of weights: in any precision and wrapping that training code writes; NaN is named with its file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from distill.errors import UserError
from distill.kd.network_files import load_weights
from distill.networks.build import build_network
from distill.networks.initial import draw_weights
from distill.randomness import stream
from tests.helpers import CLASSES, SHAPE

State = dict[str, Tensor]
NETWORK = build_network("mlp", SHAPE, CLASSES, width=4)
WEIGHTS = draw_weights(NETWORK, stream("file"))

WRAPPINGS: dict[str, Callable[[State], Any]] = {
    "bare": lambda s: s,
    "float64": lambda s: {k: w.double() for k, w in s.items()},
    "float16": lambda s: {k: w.half() for k, w in s.items()},
    "bfloat16": lambda s: {k: w.bfloat16() for k, w in s.items()},
    "module. prefixes": lambda s: {f"module.{k}": w for k, w in s.items()},
    "compiled": lambda s: {f"_orig_mod.{k}": w for k, w in s.items()},
    "compiled, then parallel": lambda s: {f"module._orig_mod.{k}": w for k, w in s.items()},
    "state_dict": lambda s: {"state_dict": s, "epoch": 3, "best": 0.5},
    "model, with module.": lambda s: {"model": {f"module.{k}": w for k, w in s.items()}, "args": {"lr": 0.1}},
}


@pytest.mark.parametrize("wrap", WRAPPINGS.values(), ids=WRAPPINGS)
def test_teacher_files_as_training_code_writes_them(wrap: Callable[[State], Any], tmp_path: Path) -> None:
    torch.save(wrap(WEIGHTS), tmp_path / "net.pt")
    loaded = load_weights(str(tmp_path / "net.pt"), NETWORK, WEIGHTS)
    for name, weight in WEIGHTS.items():
        assert loaded[name].dtype == torch.float32
        torch.testing.assert_close(loaded[name], weight, rtol=0.01, atol=0.01)


ODD: dict[str, tuple[Callable[[State], Any], str]] = {
    "NaN": (
        lambda s: {k: w * torch.nan for k, w in s.items()},
        r"net.pt: its \S+ holds numbers that are not finite",
    ),
    "too large for float32": (
        lambda s: {k: w.double() * 1e300 for k, w in s.items()},
        "not finite in torch.float32",
    ),
    "whole numbers": (lambda s: {k: w.long() for k, w in s.items()}, r"its \S+ is torch.int64"),
    "complex": (lambda s: {k: w.cfloat() for k, w in s.items()}, r"net\.pt"),
    "no tensors": (lambda s: {"state_dict": 3}, "is not a state dict: it must hold tensors by name"),
    "empty": (lambda s: {}, "holds the weights of another network"),
    "numbers as names": (lambda s: dict(enumerate(s.values())), "is not a state dict"),
}


@pytest.mark.parametrize(("wrap", "sentence"), ODD.values(), ids=ODD)
def test_weights_that_no_network_has_name_the_file(
    wrap: Callable[[State], Any], sentence: str, tmp_path: Path
) -> None:
    torch.save(wrap(WEIGHTS), tmp_path / "net.pt")
    with pytest.raises(UserError, match=sentence):
        load_weights(str(tmp_path / "net.pt"), NETWORK, WEIGHTS)
