"""teach(): a recipe run from its data to trained networks and their scores."""

import os
from collections.abc import Generator, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

from distill.data.adapters import read_splits
from distill.errors import python_names
from distill.kd.measure import Scores, score_networks
from distill.kd.networks import Networks
from distill.kd.plugins.files import load_plugins
from distill.kd.recipe.files import parse_value, read_recipe
from distill.kd.recipe.parts import Recipe, RecipeError
from distill.kd.sources import Sources, load_sources
from distill.kd.state.run import Progress, RecipeRun
from distill.networks.resolve import plain_torch
from distill.student.training import Student


class Experiment(NamedTuple):
    """The trained networks of a recipe by name, and their scores, as shares in [0, 1]."""

    students: dict[str, Student]
    scores: Scores


@python_names()
@plain_torch()
def teach(
    recipe: Recipe | Mapping[str, Any] | str | os.PathLike[str],
    data: Any = None,
    test: Any = None,
    device: str = "cpu",
    allow_plugins: bool = False,
) -> Experiment:
    """The trained networks of a recipe and their scores, as `distill teach` without a folder.

    Args:
        recipe: the path of a YAML file, or what it holds.
        data: real data in any form that `distill.distill` takes, in the place of those that the recipe names.
        test: its test data; without them a tenth of the data is held out for the scores.
        device: where to compute, if the data are not passed.
        allow_plugins: whether the recipe's Python files may be imported, which runs them.

    Raises:
        UserError: what cannot be run, in one sentence.
    """
    parts = read_any_recipe(recipe, allow_plugins)
    sources = load_sources(parts.data, parts.seed, device) if data is None else own_sources(parts, data, test)
    networks = RecipeRun(parts, sources, str(sources.train.labels.device)).finish()
    students = {name: networks[name].student for name in parts.networks}
    return Experiment(students, score_networks(parts, networks, sources))


def read_any_recipe(recipe: Any, allow_plugins: bool = False) -> Recipe:
    """A recipe from its file, from what the file holds, or as it is. Raises RecipeError."""
    if isinstance(recipe, str | os.PathLike):
        return read_recipe(os.fspath(recipe), (), allow_plugins)
    if isinstance(recipe, Recipe | Mapping):
        parts: Recipe = recipe if isinstance(recipe, Recipe) else parse_value(Recipe, recipe, "")
        load_plugins(parts.plugins, allow_plugins)
        return parts
    raise RecipeError(
        f"recipe is a {type(recipe).__name__}: give the path of a YAML file, or a dict of its keys"
    )


def own_sources(recipe: Recipe, data: Any, test: Any) -> Sources:
    """A user's own data for a recipe, a tenth held out where there are no test data. Raises DataError."""
    train, real_test = read_splits(data, test)
    part = recipe.data if real_test else replace(recipe.data, score="held-out")
    return load_sources(part, recipe.seed, str(train.labels.device), (train, real_test or train))


def run_recipe(recipe: Recipe, sources: Sources, device: str = "cpu") -> Generator[Progress, None, Networks]:
    """Progress after each batch; the generator's value is the trained networks by name. Raises UserError."""
    run = RecipeRun(recipe, sources, device)
    yield from run
    return run.networks
