"""Ensembles of a recipe: they follow their networks, also those that learn in the same stage."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from distill.kd.networks import Network, build_networks
from distill.kd.recipe.parts import RecipeError
from distill.kd.sources import load_sources
from distill.kd.stages import Stage, run_stage
from tests.helpers import waves
from tests.recipes import CE, NET, build_raw_recipe, hinton, parse_recipe, same_weights, train_recipe

PARTS = {"a": NET, "b": {**NET, "seed": 1}, "mean": {"mean_of": ["a", "b"]}, "student": NET}
X = waves(6, 1, 8, 8).float()


def mean_log_probability(networks: Any) -> torch.Tensor:
    return torch.stack([networks[name].student.logits(X).softmax(dim=1) for name in "ab"]).mean(dim=0).log()


def test_an_ensemble_is_the_mean_of_its_networks_as_they_are_at_every_batch(tmp_path: Path) -> None:
    stage = {"turns": {"a": [CE], "b": [CE], "student": [hinton("mean", 1.0)]}, "epochs": 3}
    recipe = parse_recipe(build_raw_recipe(tmp_path, PARTS, [stage]))
    sources = load_sources(recipe.data, 0, "cpu")
    networks = build_networks(recipe, sources.train, "cpu")
    answers = [networks["mean"].student.logits(X)]
    for _ in run_stage(Stage(recipe.stages[0], "stages.0", networks, sources.train, 3, 0)):
        answers.append(networks["mean"].student.logits(X))
        torch.testing.assert_close(answers[-1], mean_log_probability(networks))
    assert all(not torch.equal(before, after) for before, after in pairwise(answers))


def test_a_student_follows_an_ensemble_whose_networks_learn_beside_it(tmp_path: Path) -> None:
    """Towards the ensemble of one network it learns the same as towards that network."""
    networks = {**PARTS, "mean": {"mean_of": ["a"]}}

    def train_student(turns: dict[str, Any]) -> Network:
        stage = {"turns": turns, "epochs": 3, "optimizer": "SGD", "lr": 0.1}
        return train_recipe(build_raw_recipe(tmp_path, networks, [stage]))["student"]

    alone, together = (train_student({"a": [CE], "student": [hinton(t, 1.0)]}) for t in ("a", "mean"))
    torch.testing.assert_close(together.student.state_dict(), alone.student.state_dict(), rtol=0.0, atol=1e-5)
    assert not same_weights(train_student({"student": [hinton("mean", 1.0)]}), together)


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["mean"], "^networks.mean.mean_of: mean cannot be a part of itself: leave it out$"),
        (["a", "mean"], "cannot be a part of itself"),
        (["a", "other"], '^networks.mean.mean_of: no network called "other" .known: a, b, student.$'),
        ([], "^networks.mean.mean_of is empty: name the networks of the ensemble$"),
    ],
    ids=("itself", "itself too", "another ensemble", "nothing"),
)
def test_ensembles_that_cannot_be(names: list[str], sentence: str, tmp_path: Path) -> None:
    networks = {**PARTS, "other": {"mean_of": ["a"]}, "mean": {"mean_of": names}}
    with pytest.raises(RecipeError, match=sentence):
        train_recipe(build_raw_recipe(tmp_path, networks, []))
