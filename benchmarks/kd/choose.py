"""Choosing settings: every point of a grid scored on held-out items, in one run per seed.

The test set is not read: data.score is held-out, a tenth of the training items. The seeds are other than
those of the table, so that the items, the initial weights and the order of batches are new there.
"""

import statistics
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from benchmarks import machine
from benchmarks.kd import load_recipe
from benchmarks.kd.choices import CHOICES, Choice, Settings, apply_record, change_turn, load_record
from benchmarks.kd.protocol import list_lineage
from benchmarks.kd.rows import ROWS
from benchmarks.kd.runs import train_and_measure
from distill.kd.measure import Scores
from distill.kd.recipe.parts import Recipe, StagePart, TurnPart

CHOICE_SEEDS = (100, 101)


def choose_settings(name: str, changes: Sequence[str], seeds: Sequence[int] = CHOICE_SEEDS) -> None:
    """Score the grids of a recipe, record them in benchmarks/results/kd-choices.json, print the best."""
    for choice in (c for c in CHOICES if c.recipe == name):
        recipe = load_recipe(name, [*changes, "data.score=held-out"])
        by_seed = [score_grid(recipe, choice, seed) for seed in seeds]
        rows: list[dict[str, Any]] = [
            {**s, "scores": [scores[k] for scores in by_seed]} for k, s in enumerate(choice.grid())
        ]
        best = max(rows, key=lambda row: statistics.fmean(row["scores"]))
        chosen = {key: best[key] for key in choice.values}
        description = {"learners": choice.learners, "losses": choice.losses, "scored": choice.network,
                       "chosen": chosen, "grid": rows}  # fmt: skip
        add_record(choice.key, description)
        for row in rows:
            settings = ", ".join(f"{k} {row[k]:g}" for k in choice.values)
            print(
                f"{choice.key}: {settings}: {100 * statistics.fmean(row['scores']):.2f} % held out",
                flush=True,
            )
        print(f"{choice.key}: chosen {chosen}: write it into {name}.yaml", flush=True)


def choose_students(name: str, changes: Sequence[str], seeds: Sequence[int] = CHOICE_SEEDS) -> None:
    """Record the best of the networks among which rows choose their student, with the chosen settings."""
    rows = [row for row in ROWS if row.recipe == name and row.among]
    if not rows:
        return
    recipe = load_recipe(name, [*changes, "data.score=held-out"])
    scores = [score_recipe(apply_record(recipe, name, load_record()), seed) for seed in seeds]
    for row in rows:
        grid: list[dict[str, Any]] = [
            {"network": n, "scores": [s[n]["accuracy"] for s in scores]} for n in row.among
        ]
        best = max(grid, key=lambda point: statistics.fmean(point["scores"]))
        add_record(row.key, {"chosen": {"network": best["network"]}, "grid": grid})
        for point in grid:
            print(f"{row.name}: {point['network']}: {100 * statistics.fmean(point['scores']):.2f} % held out")
        print(f"{row.name}: chosen {best['network']}: write it into rows.py", flush=True)


def add_record(key: str, description: dict[str, Any]) -> None:
    """Add a choice to benchmarks/results/kd-choices.json."""
    record = load_record() | {key: description}
    machine.write_results("kd-choices", "python -m benchmarks.kd --choose RECIPE", {"choices": record})


def score_recipe(recipe: Recipe, seed: int) -> Scores:
    """The scores of a recipe's networks with a seed."""
    return train_and_measure(replace(recipe, seed=seed)).scores


def score_grid(recipe: Recipe, choice: Choice, seed: int) -> list[float]:
    """The held-out accuracy at each point of the grid."""
    scores = score_recipe(expand_recipe(recipe, choice), seed)
    return [scores[name_copy(choice.network, k)]["accuracy"] for k in range(len(choice.grid()))]


def name_copy(name: str, k: int) -> str:
    """The name of a network's copy for a point of the grid."""
    return f"{name} {k}"


def expand_recipe(recipe: Recipe, choice: Choice) -> Recipe:
    """The recipe with a copy of the learner for each point of the grid, and without what it does not need.

    What the learner and its partners learn from each other is copied with it; other teachers are trained
    once. The copies of a stage stand in one stage, so that they learn from the same batches.
    """
    group, lineage = find_group(recipe, choice), list_dependencies(recipe, choice.network)
    stages, points = list[StagePart](), list(enumerate(choice.grid()))
    for stage in recipe.stages:
        turns = {name: turn for name, turn in stage.turns.items() if name in lineage}
        copies = {
            name_copy(name, k): copy_turn(
                turn, group, k, settings, choice if name in choice.learners else None
            )
            for k, settings in points
            for name, turn in turns.items()
            if name in group
        }
        turns = {name: turn for name, turn in turns.items() if name not in group} | copies
        if turns:
            stages.append(replace(stage, turns=turns))
    networks = {name: recipe.networks[name] for name in lineage if name not in group}
    for k, _ in points:
        networks |= {name_copy(name, k): recipe.networks[name] for name in sorted(group)}
    return replace(recipe, networks=networks, stages=stages)


def list_dependencies(recipe: Recipe, name: str) -> list[str]:
    """A network with all that it learns from, and the learners of the searches whose weights it uses."""
    parts = [part for stage in recipe.stages if name in stage.turns for part in stage.turns[name].losses]
    teachers = {part.teacher for part in parts if part.layers and part.alpha == "searched"}
    searches = [
        learner
        for stage in recipe.stages if stage.search
        for learner, turn in stage.turns.items() if teachers & {part.teacher for part in turn.losses}
    ]  # fmt: skip
    return list_lineage(recipe, [name, *searches])


def find_group(recipe: Recipe, choice: Choice) -> set[str]:
    """Of the scored network and its teachers, those that a learner of the choice has a part in."""
    lineage = list_lineage(recipe, [choice.network])
    learners = {name for name in choice.learners if name in lineage}
    return {name for name in lineage if learners & set(list_lineage(recipe, [name]))}


def copy_turn(turn: TurnPart, group: set[str], k: int, settings: Settings, choice: Choice | None) -> TurnPart:
    """A turn of a network of the group for one point of the grid, with its settings for a learner."""
    turn = change_turn(turn, choice, settings) if choice else turn
    renamed = [
        replace(part, teacher=name_copy(part.teacher, k)) if part.teacher in group else part
        for part in turn.losses
    ]
    return replace(turn, losses=renamed)
