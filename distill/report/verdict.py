"""The verdict on a set in one sentence, from its scores and those of its baselines. Imports no torch."""

import math
from typing import NamedTuple

from distill.report.sanitise import JsonDict, shorten, to_count, to_dict, to_number, to_share

BASELINES = {
    "random-real": "random real {}",
    "k-means": "k-means centres",
    "herding": "real {} chosen by herding",
    "k-center": "real {} chosen by k-center",
    "class-means": "class means",
    "before": "the same networks before training on the set",
}
ERRORS = 2.0  # standard errors within which two means count as equal


class Verdict(NamedTuple):
    """level: "better" than all baselines, "equal", "worse", "chance", or "unknown"; and the sentence."""

    level: str
    sentence: str


class Score(NamedTuple):
    """A mean accuracy and its standard error, under a name."""

    name: str
    mean: float
    error: float


def judge_scores(
    scores: JsonDict, classes: int, steps_run: int | None = None, steps_planned: int | None = None,
    test_items: int | None = None, item_type: str = "items",
) -> Verdict:  # fmt: skip
    """How a set's accuracy compares with chance and with its strongest baseline.

    scores: as a set's file holds them: {"accuracy": {"mean", "std", "n"}, "baselines": {NAME: the same}}.
    steps_planned: None where the number of outer steps was not limited. test_items: how many items the
    accuracy was measured on; it gives the standard error of a single network. item_type: "images" or
    "sentences".
    Two means differ where they are more than two standard errors apart.
    """
    result = read_score("this set", to_dict(scores.get("accuracy")), test_items)
    if result is None:
        return Verdict("unknown", "The accuracy of this set was not measured.")
    chance = 1 / max(1, classes)
    if result.mean - ERRORS * result.error <= chance:
        ending = describe_steps(steps_run, steps_planned)
        return Verdict("chance", f"No better than chance ({100 * chance:.3g} %){ending}.")
    strongest = find_strongest(scores, test_items, item_type)
    if strongest is None:
        return Verdict("unknown", f"Better than chance ({100 * chance:.3g} %); no baseline was measured.")
    name = f"the strongest baseline ({strongest.name}, {100 * strongest.mean:.1f} %)"
    points = 100 * (result.mean - strongest.mean)
    if abs(points) <= 100 * ERRORS * math.hypot(result.error, strongest.error):
        return Verdict(
            "equal", f"No better than {name}: a difference of {points:+.1f} points is within error."
        )
    if points < 0:
        ending = describe_steps(steps_run, steps_planned)
        return Verdict("worse", f"Below {name} by {-points:.1f} points{ending}.")
    return Verdict("better", f"Above {name} by {points:.1f} points.")


def find_strongest(scores: JsonDict, test_items: int | None = None, item_type: str = "items") -> Score | None:
    """The baseline with the largest mean accuracy; None where none was measured."""
    baselines = to_dict(scores.get("baselines")).items()
    rows = [read_score(name_baseline(k, item_type), to_dict(v), test_items) for k, v in baselines]
    return max((row for row in rows if row), key=lambda row: row.mean, default=None)


def name_baseline(word: str, item_type: str) -> str:
    """'k-means' as 'k-means centres'; a word that is not in the table stands for itself."""
    return BASELINES[word].format(item_type) if word in BASELINES else shorten(word, 60)


def read_score(name: str, score: JsonDict, test_items: int | None) -> Score | None:
    """Mean and standard error: of n networks std / √n, of a single one √(p (1 - p) / test_items)."""
    mean, std, n = to_share(score.get("mean")), to_number(score.get("std")), to_count(score.get("n"))
    if mean is None:
        return None
    if n is not None and n > 1 and std is not None:
        return Score(name, mean, abs(std) / math.sqrt(n))
    return Score(name, mean, math.sqrt(mean * (1 - mean) / test_items) if test_items else 0.0)


def describe_steps(steps_run: int | None, steps_planned: int | None) -> str:
    """': 48 of 8,000 outer steps were run', or ', after 8,000 outer steps'."""
    if steps_run is None:
        return ""
    if steps_planned is not None and steps_run < steps_planned:
        return f": {steps_run:,} of {steps_planned:,} outer steps were run"
    return f", after {steps_run:,} outer steps"
