"""One cell of a grid: students of one protocol and one network on the items of one candidate."""

import time
from collections.abc import Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any, NamedTuple

from torch import nn

from distill.data.dataset import Dataset
from distill.errors import UserError
from distill.randomness import stream
from distill.sets.distilled import DistilledSet
from distill.student.comparison.baselines import (
    CHOOSING_ITEMS,
    LRS,
    count_choices,
    full_data_accuracy,
    score_baseline,
)
from distill.student.comparison.candidates import Candidate
from distill.student.comparison.table import ALL, PLAIN, SET, Row
from distill.student.evaluation import accuracy
from distill.student.protocols import SetRecipe, TrainingProtocol
from distill.student.scores import Report
from distill.student.training import Student, Weights, build_problem, initial_weights, resolve_set_network


class Column(NamedTuple):
    """A protocol and a network: the students of one column of the table, and their initial weights."""

    protocol: str
    trainer: TrainingProtocol
    network: str
    module: nn.Module
    weights: list[Weights]


def build_column(
    data: DistilledSet, protocol: str, trainer: TrainingProtocol, network: str, seeds: int
) -> Column:
    """The column; the recipe starts the set's own network from the set's weights, where it has some."""
    module, own = resolve_set_network(data, network), network == data.network["name"]
    init = data.network.get("init", "random") if own and isinstance(trainer, SetRecipe) else "random"
    return Column(protocol, trainer, network, module, initial_weights(data, module, init, seeds))


def score_cell(
    column: Column, candidate: Candidate, held_out: Dataset, test: Dataset, seeds: int
) -> tuple[list[float], str]:
    """Test accuracies of `seeds` students of new items each, and the rates that they had.

    The set's recipe takes the best of seven rates by held-out items; another protocol has its own.
    """
    if isinstance(column.trainer, SetRecipe):
        problem = build_problem(candidate.recipe, column.module, column.trainer.inner_loss)
        settings = (problem, held_out, test, column.weights, seeds)
        return score_baseline(candidate.word, candidate.draw, candidate.recipe, *settings)
    scores = []
    for k in range(seeds):
        items = candidate.build(stream(candidate.word, "score", k))
        weights = column.weights[k % len(column.weights)]
        student = column.trainer.train(items, column.module, weights, stream("compare", k))
        scores.append(accuracy(student, test))
    return scores, ""


def score_row(column: Column, candidate: Candidate, held_out: Dataset, test: Dataset, seeds: int) -> Row:
    """The row of a cell."""
    scores, rates = score_cell(column, candidate, held_out, test, seeds)
    summary = Report(candidate.name, tuple(scores)).summary()
    words = {"protocol": column.protocol, "network": column.network, "items": candidate.name}
    return {**words, "kind": candidate.kind, "rates": rates, **summary}


def score_plain(
    columns: list[Column], items: list[Candidate], held_out: Dataset, test: Dataset, seeds: int
) -> list[Row]:
    """Rows of the set and of random items without the augmentation of a protocol that has one."""
    rows = []
    for column in columns:
        trainer = without_augmentation(column.trainer, items[0].recipe)
        for candidate in items if trainer else ():
            if trainer and (candidate.kind == SET or candidate.word == "random"):
                name = f"{candidate.name}, {PLAIN}"
                plain = candidate._replace(name=name, kind=PLAIN)
                rows.append(score_row(column._replace(trainer=trainer), plain, held_out, test, seeds))
    return rows


def score_all(
    data: DistilledSet, train: Dataset, held_out: Dataset, test: Dataset, networks: Sequence[str],
    teacher: Student | None,
) -> list[Row]:  # fmt: skip
    """Rows of networks trained on all real items, and of a teacher, which is of the set's network."""
    scores = {} if teacher is None else {data.network["name"]: accuracy(teacher, test)}
    for name in networks:
        network = resolve_set_network(data, name)
        weights = initial_weights(data, network, "random", 1)[0]
        scores[name] = full_data_accuracy(train, held_out, test, network, weights)
    words = {"protocol": "ordinary training", "items": f"all {len(train)}", "kind": ALL, "rates": ""}
    return [{**words, "network": name, **Report("all", (score,)).summary()} for name, score in scores.items()]


def without_augmentation(trainer: TrainingProtocol, data: DistilledSet) -> TrainingProtocol | None:
    """The same protocol without augmentation, where it changes the items of this set; else None."""
    changed: Any = trainer
    if not (hasattr(changed, "augment") and hasattr(changed, "plan")) or changed.plan(data).augment is None:
        return None
    return replace(changed, augment="none")


def try_column(column: Column, candidate: Candidate) -> str:
    """What the protocol makes of the items' labels, in words; "" where they are its targets as they are.

    A protocol that plans its training is asked for the plan, another one trains for one step or epoch. Raises
    UserError, which names protocol and network, where it cannot train on the items.
    """
    items = candidate.build(stream(candidate.word, "try"))
    items = replace(items, schedule=items.schedule[:1], lrs=items.lrs[:1])
    trainer: Any = column.trainer
    try:
        if hasattr(trainer, "plan"):
            return str(trainer.plan(items).targets.remark)
        shorten(trainer).train(items, column.module, column.weights[0], stream("compare", "try"))
        return ""
    except UserError as error:
        place = f"by the protocol {column.protocol}, {column.network} cannot train on {candidate.name} items"
        raise type(error)(f"{place}: {error}") from None


def shorten(trainer: Any) -> TrainingProtocol:
    """The same protocol for one epoch or step, where it is a dataclass with a setting for it."""
    names = {f.name for f in fields(trainer)} if is_dataclass(trainer) else set[str]()
    counts = {name: 1 for name in ("epochs", "steps") if name in names}
    short: TrainingProtocol = replace(trainer, **counts) if counts else trainer
    return short


def estimate_seconds(column: Column, candidate: Candidate, held_out: Dataset, test: int, seeds: int) -> float:
    """About how long one cell takes, in seconds: one student is trained and measured."""
    items = candidate.build(stream(candidate.word, "score", 0))
    start = time.perf_counter()
    student = column.trainer.train(items, column.module, column.weights[0], stream("compare", 0))
    training, part = time.perf_counter() - start, min(CHOOSING_ITEMS, len(held_out))
    start = time.perf_counter()
    accuracy(student, held_out)
    measuring = (time.perf_counter() - start) / len(held_out)
    chosen = (len(LRS) + 1) * count_choices(items) if isinstance(column.trainer, SetRecipe) else 0
    return seeds * (training + test * measuring) + chosen * (training + part * measuring)
