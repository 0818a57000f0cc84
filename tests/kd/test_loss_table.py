"""The table of losses: every entry passes the contract, and the teachers of sets take those on logits."""

from typing import Any

import pytest

from distill.kd.losses import KD_LOSSES, LOGIT_LOSSES
from distill.kd.recipe.files import format_recipe, parse_value
from distill.kd.recipe.parts import LossPart, Recipe
from tests.kd.contracts import loss_contract


@pytest.mark.parametrize("name", KD_LOSSES)
def test_a_loss_of_the_table_passes_the_contract(name: str) -> None:
    loss_contract(KD_LOSSES[name])


def test_a_teacher_of_a_set_can_use_the_losses_on_its_logits() -> None:
    assert {"hinton", "weighted"} <= set(LOGIT_LOSSES)
    assert not {"hint", "attention", "cross-entropy", "mmd"} & set(LOGIT_LOSSES)


PUBLISHED = {  # weight, temperature
    "cross-entropy": (1.0, 1.0),
    "hinton": (1.0, 4.0),
    "weighted": (2.5, 2.0),
    "hint": (200.0, 1.0),  # of half the mean squared distance
    "attention-mean": (1000.0, 1.0),
    "rkd-distance": (25.0, 1.0),
    "rkd-angle": (50.0, 1.0),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_recipe_that_leaves_weight_and_temperature_out_gets_the_published_ones(name: str) -> None:
    part = parse_value(LossPart, {"loss": name}, "")
    assert (part.weight, part.tau) == PUBLISHED[name]
    assert LossPart(name) == part


def test_what_a_recipe_says_stands() -> None:
    raw: dict[str, Any] = {"loss": "hint", "weight": 0.0, "tau": 3}
    part = parse_value(LossPart, raw, "")
    assert (part.weight, part.tau) == (0.0, 3.0)


def test_every_weight_and_temperature_that_is_not_one_says_whose_it_is() -> None:
    assert [
        word for word, loss in KD_LOSSES.items() if {loss.weight, loss.tau} != {1.0} and not loss.source
    ] == []


def test_the_resolved_recipe_holds_the_published_numbers() -> None:
    raw = {"networks": {"a": {}}, "stages": [{"turns": {"a": [{"loss": "hinton", "teacher": "a"}]}}]}
    text = format_recipe(parse_value(Recipe, raw, ""))
    assert "weight: 1.0" in text
    assert "tau: 4.0" in text
