"""Networks as people bring them, at every door: right, or the one sentence of tests/oddities.py."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import distill
from distill import DistilledSet, UserError
from distill.randomness import stream
from distill.student import accuracy, train, train_ordinary
from tests.oddities import CLASSES, NETWORK_ANSWERS, NETWORK_ODDITIES, RIGHT

SIZES = {"n": CLASSES, "outer_steps": 2, "inner_steps": 3, "outer_batch": 16}
X, Y = torch.randn(80, 1, 8, 8, generator=stream("odd")), torch.arange(80) % CLASSES


@pytest.fixture(scope="module")
def few() -> DistilledSet:
    return distill.distill((X, Y), "mlp", **SIZES)


def check_student(student: Any) -> None:
    """The student answers in eval mode: the same each time, alone and in any batch."""
    logits = student.logits(X)
    assert logits.shape == (len(X), CLASSES)
    assert torch.equal(student.logits(X), logits)
    order = Y.argsort()
    torch.testing.assert_close(student.logits(X[order]), logits[order], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(student.logits(X[:1]), logits[:1], rtol=1e-3, atol=1e-4)


DOORS: dict[str, Callable[[DistilledSet, Any], Any]] = {
    "distill": lambda _, network: distill.distill((X, Y), network, **SIZES),
    "train": lambda few, network: check_student(train(few, network)),
    "evaluate": lambda few, network: accuracy(
        train(few, network, seed=1), distill.Dataset("x", X, Y, ("a", "b", "c", "d"), (0.0,), (1.0,))
    ),
    "train_ordinary": lambda few, network: check_student(
        train_ordinary(few, network, None, lambda p: torch.optim.SGD(p, lr=0.01), 2, 4, stream("o"))
    ),
}


def tensors_of(network: Any) -> dict[str, Tensor]:
    tensors = [*network.named_parameters(), *network.named_buffers()] if hasattr(network, "_modules") else []
    return {
        name: t.detach().clone() for name, t in tensors if not (torch.nn.parameter.is_lazy(t) or t.is_meta)
    }


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("name", NETWORK_ODDITIES)
def test_a_network_is_right_or_refused_in_one_sentence(few: DistilledSet, name: str, door: str) -> None:
    network, items, rng_state = NETWORK_ODDITIES[name](), X.clone(), torch.random.get_rng_state()
    rng_state, before, answer = torch.random.get_rng_state(), tensors_of(network), NETWORK_ANSWERS[name][door]
    if answer == RIGHT:
        DOORS[door](few, network)
    else:
        with pytest.raises(UserError) as caught:
            DOORS[door](few, network)
        assert re.search(answer, str(caught.value))
        assert "\n" not in str(caught.value)
    after = tensors_of(network)
    assert all(torch.equal(after[k].nan_to_num(), t.nan_to_num()) for k, t in before.items())
    assert torch.equal(X, items)
    assert torch.equal(torch.random.get_rng_state(), rng_state)
