"""poison(): images after one step on which trained networks take one class for another."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distill.applications.adapt import check_start, needs_networks, prepare
from distill.applications.pretrained import train_networks
from distill.applications.settings import PoisonSettings
from distill.data.dataset import Dataset
from distill.errors import UserError, unknown
from distill.runs.build import set_depth
from distill.runs.job import distil, go_on
from distill.runs.measure import load_data, split_data
from distill.runs.resolve import change
from distill.sets.distilled import DistilledSet
from distill.student.comparison.baselines import score_baseline
from distill.student.comparison.coresets import encode_one_hot
from distill.student.evaluation import accuracy
from distill.student.scores import Report
from distill.student.training import Student, build_problem, initial_weights, replay

Scores = dict[str, dict[str, Report]]


def poison(settings: PoisonSettings, command: list[str]) -> dict[str, Any]:
    """Train the networks, distil the poison, measure what it does. Raises UserError."""
    if settings.run.resume is not None:
        settings = go_on(settings, Path(settings.run.resume))
    else:
        settings = prepare_poison(settings)
    result = distil(settings, command, load_poisoned)
    if not result:  # one of several processes, not the first
        return {}
    data = DistilledSet.load(result["path"], settings.run.device)
    scores = measure_attack(settings, data)
    print(describe_attack(settings, len(data), scores))
    attack = {name: {part: r.summary() for part, r in pair.items()} for name, pair in scores.items()}
    replace(data, scores={**data.scores, "attack": attack}).save(result["path"])
    return {**result, "attack": attack}


def prepare_poison(settings: PoisonSettings) -> PoisonSettings:
    """The settings in full, with trained networks. Raises UserError."""
    attack, start = settings.attack, str(settings.outer.start)
    if attack.attacked == attack.target:
        raise UserError(f"--attacked and --target are both {attack.target}: name two classes")
    if start != "noise" and not start.endswith(".pt"):
        raise UserError(f"--start {start}: a poison starts as noise, or as a SET.pt ended")
    settings = prepare(settings, f"poison-{attack.attacked}-as-{attack.target}")
    train, _ = load_data(settings)
    for name in (attack.attacked, attack.target):
        class_number(name, train)
    settings = set_depth(settings, train.shape)
    check_start(settings, train)
    if needs_networks(settings):
        settings = change(settings, "network", weights=train_networks(settings, train))
    return settings


def load_poisoned(settings: PoisonSettings) -> tuple[Dataset, Dataset]:
    """(train, test), the attacked class labelled as the target: what the outer loss asks for."""
    train, test = load_data(settings)
    pair = [class_number(name, train) for name in (settings.attack.attacked, settings.attack.target)]
    return train.relabel(*pair), test.relabel(*pair)


def class_number(name: str, data: Dataset) -> int:
    """The number of a class. Raises UserError."""
    if name not in data.classes:
        raise UserError(unknown("class", name, data.classes))
    return data.classes.index(name)


def measure_attack(settings: PoisonSettings, data: DistilledSet) -> Scores:
    """For the networks before, after the poison, and after as many real images of the attacked class with
    the target's label: the share of the attacked class that is taken for the target, and of the others'
    items that are classified right.
    """
    split = (settings.data.held_out, settings.run.seed)
    honest, splits = split_data(*load_data(settings), *split), split_data(*load_poisoned(settings), *split)
    attack = settings.attack
    attacked, target = (class_number(name, honest.test) for name in (attack.attacked, attack.target))
    problem = build_problem(data)
    weights = initial_weights(data, problem.network, "fixed", settings.measure.test_networks)

    def draw(generator: torch.Generator) -> tuple[Tensor, Tensor]:
        picks = honest.train.draw_items([attacked] * len(data), generator)
        return honest.train.batch(picks)[0], encode_one_hot(torch.full((len(data),), target), data)

    of_class = honest.test.labels == attacked
    parts = {"attacked": splits.test.select(of_class), "others": splits.test.select(~of_class)}
    students = {
        "before": [Student(problem.network, w) for w in weights],
        "distilled": [replay(data, problem, w) for w in weights],
    }
    scores: Scores = {
        name: {
            part: Report(part, tuple(accuracy(s, split_part) for s in each))
            for part, split_part in parts.items()
        }
        for name, each in students.items()
    }
    scores["real"] = {}
    for part, split_part in parts.items():
        values, rate = score_baseline("poison", draw, data, problem, splits.held_out, split_part, weights)
        scores["real"][part] = Report(rate, tuple(values))
    return scores


def describe_attack(settings: PoisonSettings, n: int, scores: Scores) -> str:
    """What the poison does, a line per kind of step."""
    attacked, target = settings.attack.attacked, settings.attack.target
    names = {
        "before": "before",
        "distilled": f"after {n} distilled images",
        "real": f"after {n} real {attacked}s labelled {target}",
    }
    lines = [
        f"  {names[name]:<36}{attacked} taken for {target}: {pair['attacked'].text()};"
        f" other classes right: {pair['others'].text()}"
        for name, pair in scores.items()
    ]
    return "\n".join([f"in the table above {attacked} counts as {target}; class by class:", *lines])
