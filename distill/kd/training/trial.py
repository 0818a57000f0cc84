"""The trial of a recipe: each loss of each stage on a few items, before anything is trained.

Outputs of unlike sizes, and a loss of one's own that fails, would else end a run after hours of training.
"""

from dataclasses import replace

import torch
from torch import Tensor

from distill.kd.networks import Networks
from distill.kd.recipe.parts import Recipe
from distill.kd.sources import Sources, choose_items
from distill.kd.training.stage import Stage
from distill.kd.training.turns import build_loss, build_outputs
from distill.randomness import seed_torch, stream
from distill.student.loop import Batch

ITEMS = 4  # of each stage


def try_recipe(recipe: Recipe, networks: Networks, sources: Sources) -> None:
    """Raise RecipeError where a loss of a recipe cannot be computed; no weight or average changes.

    Aggregations of layers are left to check_aggregations().
    """
    networks = dict(networks)
    for i, part in enumerate(recipe.stages):
        items = choose_items(part, sources, recipe.seed)
        stage = Stage(
            part, f"stages.{i}", networks, items, len(sources.train.classes), recipe.seed, sources.target
        )
        for learner in part.turns:
            try_turn(stage, learner)
        for name in part.turns:
            networks |= {f"{name}@{k + 1}": replace(networks[name]) for k in range(part.keep)}


def try_turn(stage: Stage, learner: str) -> None:
    """Raise RecipeError where a loss of a learner's turn cannot be computed."""
    parts = [(f"{stage.where}.{learner}.{j}", p) for j, p in enumerate(stage.part.turns[learner].losses)]
    batch, student = take_batch(stage), stage.networks[learner].student.requires_grad_(True)
    try:
        with seed_torch(stream("trial")):
            losses = [build_loss(stage, learner, part, where) for where, part in parts if part.layers is None]
            outputs = build_outputs(stage, learner, losses, batch, {}, {})
            for loss in losses:
                loss.value(learner, outputs, batch.y)
    finally:
        student.requires_grad_(False)


def take_batch(stage: Stage) -> Batch:
    """The first items of a stage, and of the target."""
    x, y = stage.data.batch(slice(0, ITEMS))
    target: Tensor | None = None if stage.target is None else stage.target.batch(slice(0, len(x)))[0]
    return Batch(x, y, torch.arange(len(x)), 0.0, plain=x, target=target)
