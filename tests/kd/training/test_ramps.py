"""Ramps: weights of losses that move along a stage, as their papers write them."""

import math
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from distill.kd.recipe.files import parse_value
from distill.kd.recipe.parts import LossPart, RampPart, RecipeError
from distill.kd.training import RAMPS
from distill.kd.training.ramps import check_ramp, ramp_value
from distill.student.loop import Batch, draw_batches
from tests.helpers import small_set
from tests.recipes import CE, NET, build_raw_recipe, hinton, same_weights, train_recipe

EXAMPLES: dict[str, dict[str, Any]] = {
    name: {"ramp": name, "from": 0.25, **({} if name == "constant" else {"to": 2.0})} for name in RAMPS
} | {"complement": {"ramp": "complement", "of": {"ramp": "linear", "from": 0.25, "to": 0.75}}}


def parse(raw: Any) -> RampPart:
    return parse_value(RampPart, raw, "weight")


def at(raw: dict[str, Any], progress: float, epoch: float = 0.0) -> float:
    nothing = torch.zeros(0)
    return ramp_value(parse(raw), Batch(nothing, nothing, nothing, progress, epoch))


@pytest.mark.parametrize("name", RAMPS)
def test_a_ramp_begins_at_its_beginning_and_ends_at_its_end(name: str) -> None:
    start, end = (at(EXAMPLES[name], p, p) for p in (0.0, 1.0))
    expected = {"constant": (0.25, 0.25), "complement": (0.75, 0.25)}.get(name, (0.25, 2.0))
    assert (start, end) == pytest.approx(expected, rel=1e-4)
    steps = [at(EXAMPLES[name], p / 10, p / 10) for p in range(11)]
    rises = [after >= before for before, after in pairwise(steps)]
    assert all(rises) or not any(rises)


def test_the_sigmoid_is_that_of_ganin_and_lempitsky() -> None:
    for p in (0.0, 0.1, 0.5, 1.0):
        assert at({"ramp": "sigmoid"}, p) == pytest.approx(2 / (1 + math.exp(-10 * p)) - 1)


def test_the_exponential_grows_by_epoch_as_in_joint_distillation_and_adaptation() -> None:
    """β = s · (f / s)^(e / N) in epoch e of N (Nguyen-Meidine et al. 2020): the same within an epoch."""
    s, f, epochs = 0.1, 0.8, 4
    ramp = {"ramp": "exponential", "from": s, "to": f}
    batches = draw_batches(small_set(), 1, epochs, torch.Generator())
    values = [ramp_value(parse(ramp), batch) for batch in batches]
    per_epoch = len(small_set())
    assert values == pytest.approx([s * (f / s) ** (e / epochs) for e in range(4) for _ in range(per_epoch)])
    growth = math.log(f / s) / epochs
    assert values[-1] == pytest.approx(s * math.exp(3 * growth))


def test_a_complement_is_one_minus_its_ramp() -> None:
    ramp = {"ramp": "exponential", "from": 0.1, "to": 0.8}
    for epoch in (0.0, 0.25, 0.75):
        assert at({"ramp": "complement", "of": ramp}, 0.0, epoch) == 1 - at(ramp, 0.0, epoch)


def test_by_epoch_holds_a_weight_within_an_epoch() -> None:
    by_epoch, by_batch = ({"ramp": "linear", "by": unit} for unit in ("epoch", "batch"))
    assert (at(by_epoch, 0.6, 0.5), at(by_batch, 0.6, 0.5)) == (0.5, 0.6)


def test_until_is_a_geometric_ramp_to_the_same_bits(tmp_path: Path) -> None:
    networks = {"teacher": NET, "student": NET}
    weights: list[dict[str, Any]] = [
        {"weight": 0.1, "until": 0.9},
        {"weight": {"ramp": "geometric", "from": 0.1, "to": 0.9}},
        {"weight": 0.1},
    ]
    trained = [
        train_recipe(
            build_raw_recipe(
                tmp_path, networks, [{"turns": {"student": [CE, {**hinton("teacher"), **weight}]}}]
            )
        )["student"]
        for weight in weights
    ]
    assert same_weights(trained[0], trained[1])
    assert not same_weights(trained[0], trained[2])


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"ramp": "sigmoidal"}, 'weight.ramp: no ramp called "sigmoidal"; did you mean "sigmoid"?'),
    ({"ramp": "linear", "by": "step"}, 'weight.by: no unit of time called "step"'),
    ({"ramp": "linear", "from": -1}, "weight.from must be at least 0, not -1"),
    ({"ramp": "linear", "to": -1}, "weight.to must be at least 0, not -1"),
    ({"ramp": "exponential"}, "weight.from must be above 0 for the ramp exponential, not 0"),
    ({"ramp": "geometric", "from": 1, "to": 0}, "weight.to must be above 0 for the ramp geometric, not 0"),
    ({"ramp": "constant", "to": 1}, "weight.to: the ramp constant has no end: leave it out"),
    ({"ramp": "complement"}, "weight.of is missing: complement is 1 minus another ramp"),
    ({"ramp": "linear", "of": {"ramp": "linear"}}, "weight.of is for the ramp complement: leave it out"),
    (
        {"ramp": "complement", "from": 1, "of": {"ramp": "linear"}},
        "weight.from: give it to the ramp that the complement is of",
    ),
    (
        {"ramp": "complement", "of": {"ramp": "linear", "to": 2}},
        "weight.of.to must be at most 1 in a complement, not 2",
    ),
    ({"ramp": "complement", "of": {"ramp": "lin"}}, 'weight.of.ramp: no ramp called "lin"'),
]


@pytest.mark.parametrize(("raw", "sentence"), REFUSED, ids=[str(raw) for raw, _ in REFUSED])
def test_a_ramp_that_cannot_be_is_refused_in_one_sentence(raw: dict[str, Any], sentence: str) -> None:
    with pytest.raises(RecipeError) as error:
        check_ramp(parse(raw), "weight")
    assert str(error.value).startswith(sentence)


def test_keys_and_types_of_a_ramp_are_checked() -> None:
    for raw, sentence in (
        ({"ramp": "linear", "form": 1}, 'weight: no key called "form"; did you mean "from"?'),
        ({"from": 1}, "weight.ramp is missing"),
        ({"ramp": "linear", "from": "low"}, "weight.from must be a finite number, not 'low'"),
        ([1, 2], "weight must be a finite number, not [1, 2]"),
    ):
        with pytest.raises(RecipeError) as error:
            parse_value(LossPart, {"weight": raw}, "")
        assert str(error.value).startswith(sentence)
