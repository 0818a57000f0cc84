"""Choosing settings: every point of a grid scored on held-out items, in one run per seed.

The test set is not read: data.score is held-out, a tenth of the training items. The seeds are other than
those of the table, so that the items, the initial weights and the order of batches are new there.
"""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace

from benchmarks import machine
from benchmarks.kd import RECIPES
from benchmarks.kd.choices import CHOICES, Choice, apply_settings, load_record
from benchmarks.kd.protocol import list_lineage
from distill.kd.experiment import train_networks
from distill.kd.measure import score_networks
from distill.kd.recipe.files import read_recipe
from distill.kd.recipe.parts import LossPart, Recipe, StagePart
from distill.kd.sources import load_sources

CHOICE_SEEDS = (100, 101)


def choose_settings(name: str, changes: Sequence[str], seeds: Sequence[int] = CHOICE_SEEDS) -> None:
    """Score the grids of a recipe, record them in benchmarks/results/kd-choices.json, print the best."""
    for choice in (c for c in CHOICES if c.recipe == name):
        recipe = read_recipe(RECIPES / f"{name}.yaml", [*changes, "data.score=held-out"])
        scores = [score_grid(recipe, choice, seed) for seed in seeds]
        rows = [
            {**settings, "scores": [by_point[k] for by_point in scores]}
            for k, settings in enumerate(choice.grid())
        ]
        best = max(rows, key=lambda row: statistics.fmean(row["scores"]))
        chosen = {key: best[key] for key in choice.values}
        key = f"{name}/{choice.learners[0]}"
        description = {"learners": choice.learners, "loss": choice.loss, "chosen": chosen, "grid": rows}
        record = load_record() | {key: description}
        machine.write_results("kd-choices", f"python -m benchmarks.kd --choose {name}", {"choices": record})
        for row in rows:
            settings = ", ".join(f"{k} {row[k]:g}" for k in choice.values)
            print(f"{key}: {settings}: {100 * statistics.fmean(row['scores']):.2f} % held out", flush=True)
        print(f"{key}: chosen {chosen}: write it into {name}.yaml", flush=True)


def score_grid(recipe: Recipe, choice: Choice, seed: int) -> list[float]:
    """The held-out accuracy of the learner at each point of the grid; on the target where there is one."""
    expanded = expand_recipe(replace(recipe, seed=seed), choice)
    sources = load_sources(expanded.data, seed, "cpu")
    scores = score_networks(expanded, train_networks(expanded, sources, "cpu"), sources)
    by_point = [scores[name_copy(choice.learners[0], k)] for k in range(len(choice.grid()))]
    return [score["accuracy"] for score in by_point]


def name_copy(name: str, k: int) -> str:
    return f"{name} {k}"


def expand_recipe(recipe: Recipe, choice: Choice) -> Recipe:
    """The recipe with a copy of the learner for each point of the grid, and without what it does not need.

    What learns in the learner's own stages (a partner) is copied with it; teachers are trained once.
    """
    learner = choice.learners[0]
    group = {name for stage in recipe.stages if learner in stage.turns for name in stage.turns}
    lineage = list_lineage(recipe, [learner])
    stages = list[StagePart]()
    for stage in recipe.stages:
        if group & set(stage.turns):
            copies = (copy_stage(stage, group, k, choice, s) for k, s in enumerate(choice.grid()))
            stages += [stage for stage in copies if stage.turns]
        elif turns := {name: turn for name, turn in stage.turns.items() if name in lineage}:
            stages.append(replace(stage, turns=turns))
    networks = {name: part for name, part in recipe.networks.items() if name in lineage and name not in group}
    for k in range(len(choice.grid())):
        networks |= {name_copy(name, k): recipe.networks[name] for name in sorted(group)}
    return replace(recipe, networks=networks, stages=stages)


def copy_stage(
    stage: StagePart, group: set[str], k: int, choice: Choice, settings: Mapping[str, float]
) -> StagePart:
    """A stage of the learner's group for one point of the grid."""

    def rename(part: LossPart) -> LossPart:
        return replace(part, teacher=name_copy(part.teacher, k)) if part.teacher in group else part

    turns = {}
    for name, turn in stage.turns.items():
        chosen = apply_settings(turn.losses, choice.loss, settings) if name in choice.learners else turn.losses
        turns[name_copy(name, k)] = replace(turn, losses=[rename(part) for part in chosen])
    return replace(stage, turns=turns)


