"""What a set is worth: the one reading of the test split."""

import sys
from typing import Any

from tqdm import tqdm

from distill.inner.problem import Problem
from distill.runs.settings import Config
from distill.runs.splits import Splits
from distill.sets.distilled import DistilledSet
from distill.student.baselines import full_data_accuracy, score_baseline
from distill.student.coresets import k_means, random_real
from distill.student.evaluate import accuracy
from distill.student.scores import Report
from distill.student.training import Student, initial_weights, replay


def measured(
    config: Config, data: DistilledSet, problem: Problem, splits: Splits
) -> tuple[list[Report], dict[str, Any]]:
    """The one reading of the test split: by the set, by as many other items, by all real data."""
    n, weights = len(data), initial_weights(data, problem.network, data.network["init"], config.networks)
    bar = tqdm(weights, "networks", unit="network", disable=not sys.stderr.isatty(), leave=False)
    scored = tuple(accuracy(replay(data, problem, w), splits.test) for w in bar)
    ours = Report(f"these {n} distilled {config.ITEMS}", scored)
    others: list[Report] = []
    facts: dict[str, Any] = {}
    if config.weights:
        before = tuple(accuracy(Student(problem.network, w), splits.test) for w in weights)
        others.append(Report("the same networks before", before))
        facts["before"] = others[-1].summary()
    draws = {"random-real": random_real(data, splits.train), "k-means": k_means(data, splits.train)}
    for name, draw in draws.items():
        found, rates = score_baseline(
            name, draw, data, problem, splits.held_out, splits.test, weights, min(20, config.networks)
        )
        others.append(Report(f"{n} {BASELINES[name]} {config.ITEMS} ({rates})", tuple(found)))
        facts[name] = {**others[-1].summary(), "rates": rates}
    ceilings = [
        full_data_accuracy(splits.train, splits.held_out, splits.test, problem.network, w)
        for w in weights[: config.ceilings]
    ]
    everything = Report(f"all {len(splits.train)} real {config.ITEMS}", tuple(ceilings))
    known = "fixed" if config.init == "fixed" else "held-out"
    scores = {
        "accuracy": {**ours.summary(), "split": "test", "weights": known},
        "full_data": everything.mean,
        "baselines": facts,
    }
    return [ours, *others, everything], scores


BASELINES = {"random-real": "random real", "k-means": "k-means centres of"}
