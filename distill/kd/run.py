"""Runs: the stages of a recipe one after the other, from its data to trained networks."""

from collections.abc import Generator
from typing import NamedTuple

from distill.kd.networks import Networks, build_ensembles, build_networks
from distill.kd.recipe.checks import check_recipe
from distill.kd.recipe.files import check_recipe_types
from distill.kd.recipe.parts import Recipe, RecipeError
from distill.kd.sources import Sources, choose_items
from distill.kd.stages import Stage, run_stage
from distill.kd.techniques.route import split_route


class Progress(NamedTuple):
    """Where a run is: the stage from 1, of how many, and the share of it that is done."""

    stage: int
    stages: int
    share: float
    losses: tuple[float, ...]


def run_recipe(recipe: Recipe, sources: Sources, device: str = "cpu") -> Generator[Progress, None, Networks]:
    """Progress after each batch; the generator's value is the trained networks by name. Raises UserError."""
    recipe = check_recipe_types(recipe)
    if not isinstance(sources, Sources):
        raise RecipeError(f"sources is a {type(sources).__name__}: give what load_sources() returns")
    networks = build_networks(recipe, sources.train, device)
    check_recipe(recipe, networks)
    for i, part in enumerate(recipe.stages):
        for leg in split_route(part, networks, sources.train):
            items, classes = choose_items(leg, sources, recipe.seed), len(sources.train.classes)
            stage = Stage(leg, f"stages.{i}", networks, items, classes, recipe.seed, sources.target)
            for share, losses in run_stage(stage):
                yield Progress(i + 1, len(recipe.stages), share, losses)
        networks |= build_ensembles(recipe, networks)
    return networks
