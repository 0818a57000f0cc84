"""Scores of a recipe's networks as rows, beside what each network is and from whom it learned."""

import statistics
from collections.abc import Sequence
from typing import Any

from distill.report.recipes.reported import ReportedRun, list_turns
from distill.report.sanitise import JsonDict, shorten, to_number, to_share, to_words
from distill.report.tables import compute_wilson

CONGRUENCE = "congruence"
FURTHER = {  # scores beside the accuracy, as their columns are called
    "target": "accuracy on the target",
    "clusters": "items in the subclass of their old class",
    "regularising": "training items that are regularisation samples",
    CONGRUENCE: "distance from the last anchor",
}


def list_run_scores(reported: ReportedRun) -> JsonDict:
    """The section of scores: a row for each network, and the columns beside its accuracy."""
    scores = reported.scores
    columns = [word for word in FURTHER if any(word in row for row in scores.values())]
    rows = [row for name in scores if (row := make_row(reported, name, columns))]
    return {"rows": rows, "columns": [FURTHER[w] for w in columns], "split": reported.split} if rows else {}


def make_row(reported: ReportedRun, name: str, columns: Sequence[str]) -> JsonDict | None:
    """A network's accuracy with its 95 % interval, and its further scores; None where it has no accuracy."""
    scores = reported.scores[name]
    mean = to_share(scores.get("accuracy"))
    if mean is None:
        return None
    items = reported.items
    low, high = compute_wilson(mean, items) if items else (mean, mean)
    spread = f"95 % interval {100 * low:.2f} to {100 * high:.2f} % on {items:,} items" if items else ""
    teachers = list_teachers(reported, name)
    return {
        "key": "own:set" if teachers else "alone", "name": name, "mean": mean, "low": low, "high": high,
        "words": format_share(mean), "spread": spread,
        "network": describe_part(reported.networks.get(name, {})),
        "learned": describe_learning(reported, name),
        "further": [format_further(word, scores.get(word)) for word in columns],
    }  # fmt: skip


def format_further(word: str, value: Any) -> str:
    """A score beside the accuracy; nothing where a network has none."""
    if word == CONGRUENCE:
        return "" if (number := to_number(value)) is None else f"{number:.4f} nats"
    return "" if (share := to_share(value)) is None else format_share(share)


def format_share(share: float) -> str:
    """'91.30 %'."""
    return f"{100 * share:.2f} %"


def describe_part(part: JsonDict) -> str:
    """'convnet (width 8, depth 2)', 'the mean of a, b'."""
    if parts := to_words(part.get("mean_of")):
        return f"the mean of {', '.join(parts)}"
    numbers = [f"{key} {part[key]}" for key in ("width", "depth") if isinstance(part.get(key), int)]
    words = ["separable"] if part.get("separable") is True else []
    subclasses = part.get("subclasses")
    counted = [f"{subclasses} subclasses per class"] if type(subclasses) is int and subclasses > 1 else []
    eight_bits = ["measured in eight bits"] if part.get("int8") is True else []
    facts = ", ".join([*numbers, *words, *counted, *eight_bits])
    return shorten(part.get("name", "convnet"), 60) + (f" ({facts})" if facts else "")


def list_teachers(reported: ReportedRun, name: str) -> list[str]:
    """From whose outputs a network learned, in any stage; the anchors of a teacher count as the teacher."""
    losses = [loss for stage in reported.stages for loss in list_turns(stage).get(name, [])]
    teachers = [loss["teacher"].partition("@")[0] for loss in losses if isinstance(loss.get("teacher"), str)]
    return list(dict.fromkeys(shorten(teacher, 60) for teacher in teachers))


def describe_learning(reported: ReportedRun, name: str) -> str:
    """'learned in stages 1, 3, from teacher'; 'did not learn'."""
    numbers = [str(k) for k, stage in enumerate(reported.stages, 1) if name in list_turns(stage)]
    if not numbers:
        return "did not learn"
    teachers = list_teachers(reported, name)
    source = f", from {', '.join(teachers)}" if teachers else ""
    return f"learned in stage{'s' * (len(numbers) > 1)} {', '.join(numbers)}{source}"


def compare_runs(runs: Sequence[ReportedRun]) -> list[JsonDict]:
    """By network: its accuracy in each run, and mean ± standard deviation over the runs that have it."""
    names = dict.fromkeys(name for run in runs for name in run.scores)
    rows = []
    for name in names:
        shares = [to_share(run.scores.get(name, {}).get("accuracy")) for run in runs]
        values = [share for share in shares if share is not None]
        cells = ["" if share is None else format_share(share) for share in shares]
        rows.append({"name": name, "cells": cells, "mean": describe_mean(values)})
    return rows


def describe_mean(values: Sequence[float]) -> str:
    """'91.30 ± 0.21 %' of several shares; of one or none nothing."""
    if len(values) < 2:
        return ""
    return f"{100 * statistics.fmean(values):.2f} ± {100 * statistics.stdev(values):.2f} %"
