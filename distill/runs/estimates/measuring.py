"""About how long measuring a set will take."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from distill.data.dataset import Dataset
from distill.inner.problem import Problem
from distill.runs.measure import BASELINES, Splits, count_draws
from distill.runs.settings import MeasureSettings
from distill.sets.distilled import DistilledSet
from distill.student.comparison.baselines import ORDINARY_BATCH, count_choices, epochs_on_all, train_epochs
from distill.student.evaluation import accuracy
from distill.student.protocol_scores import estimate_students
from distill.student.protocols.standard import DC
from distill.student.training import Weights, initial_weights, replay


def estimate_seconds(
    settings: MeasureSettings, data: DistilledSet, problem: Problem, splits: Splits, trials: int = 2,
    pretrained: bool = False,
) -> float:  # fmt: skip
    """About how long measure() will take, from one student, some test items and a few real batches.

    pretrained: as in measure(), which then also tests the networks as they are.
    """
    known = initial_weights(data, problem.network, data.network["init"], 1)
    weights = known[0]
    part = splits.test.select(torch.arange(min(500, len(splits.test)), device=splits.test.labels.device))
    train = min(seconds_of(lambda: replay(data, problem, weights)) for _ in range(trials))
    student = replay(data, problem, weights)
    test = (
        min(seconds_of(lambda: accuracy(student, part)) for _ in range(trials)) * len(splits.test) / len(part)
    )
    networks = len(known) if data.network["init"] == "fixed" else settings.test_networks
    draws = count_draws(settings)
    short = test * min(1000, len(splits.held_out)) / len(splits.test)
    choice = 7 * count_choices(data) * (train + short)  # these draws at seven rates choose a baseline's rate
    full = min(networks, settings.full_data_networks)
    on_all = full * (estimate_ordinary(problem, weights, splits.train, trials) + 3 * test) if full else 0.0
    count = settings.dc_networks
    by_dc = estimate_students(data, DC(), problem.network, weights, count, test) if count else 0.0
    baselines = len(BASELINES) * (choice + draws * (train + test)) if draws else 0.0
    return networks * (train + test * (2 if pretrained else 1)) + baselines + by_dc + on_all


def estimate_ordinary(problem: Problem, weights: Weights, train: Dataset, trials: int) -> float:
    """About how long a network takes to train on all real items, at all rates, from a few batches."""
    some = torch.arange(min(3 * ORDINARY_BATCH, len(train)), device=train.labels.device)
    batches = train.select(some)
    one, two = (
        min(seconds_of(partial(train_epochs, batches, problem.network, weights, n)) for _ in range(trials))
        for n in (1, 2)
    )
    part_of_epoch = max(two - one, one / 10)  # without what is done once
    return sum(epochs_on_all(len(train))) * part_of_epoch * len(train) / len(batches)


def seconds_of(function: Callable[[], Any]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start
