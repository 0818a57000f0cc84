"""The verdict on a set in one sentence, from its scores and those of its baselines. Imports no torch."""

import math
from typing import NamedTuple

from distill.report.sanitise import JsonDict, shorten, to_count, to_dict, to_number, to_share
from distill.sets.scores.words import name_baseline, name_split

NOT_MEASURED = "not measured by a standard protocol"
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
    test_items: int | None = None, item_type: str = "items", majority: float | None = None,
) -> Verdict:  # fmt: skip
    """How a set's accuracy compares with chance and with its strongest baseline.

    scores: as a set's file holds them: {"accuracy": {"mean", "std", "n"}, "baselines": {NAME: the same}}.
    steps_planned: None where the number of outer steps was not limited. test_items: how many items the
    test split has; they give the standard error of a single network that was measured on it. item_type:
    "images" or "sentences". majority: the share of the test items that are of the most frequent class, where
    it is known. Two means differ where they are more than two standard errors apart. Images for random
    initial weights are judged by the standard protocol dc where the file has scores by it, under "protocols";
    any set without a score by its own recipe by the first protocol that the file has scores by.
    """
    word = choose_protocol(scores, item_type)
    by = read_protocols(scores)[word] if word else {}
    judged = {"accuracy": by, "baselines": by.get("baselines")} if word else scores
    chance = find_chance(classes, majority)
    level, sentence = judge_protocol(judged, chance, steps_run, steps_planned, test_items, item_type)
    if not word:
        return Verdict(level, sentence)
    return Verdict(level, f"By the standard protocol {word}: {sentence[0].lower()}{sentence[1:]}")


def choose_protocol(scores: JsonDict, item_type: str) -> str:
    """The word of the standard protocol by which a set is judged; "" for its own recipe."""
    protocols, accuracy = read_protocols(scores), to_dict(scores.get("accuracy"))
    if "dc" in protocols and accuracy.get("weights") != "fixed" and item_type != "sentences":
        return "dc"
    return "" if to_share(accuracy.get("mean")) is not None else next(iter(protocols), "")


def judge_protocol(
    scores: JsonDict, chance: Score, steps_run: int | None, steps_planned: int | None, test_items: int | None,
    item_type: str,
) -> Verdict:  # fmt: skip
    """The verdict by the accuracy and the baselines of one protocol."""
    accuracy = to_dict(scores.get("accuracy"))
    test_items = test_items if name_split(accuracy) == "test" else None
    result = read_score("this set", accuracy, test_items)
    if result is None:
        return Verdict("unknown", "The accuracy of this set was not measured.")
    guess = f"{chance.name} ({100 * chance.mean:.3g} %)"
    if result.mean - ERRORS * result.error <= chance.mean:
        ending = describe_steps(steps_run, steps_planned)
        return Verdict("chance", f"No better than {guess}{ending}.")
    strongest = find_strongest(scores, test_items, item_type)
    if strongest is None:
        return Verdict("unknown", f"Better than {guess}; no baseline was measured.")
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


def find_chance(classes: int, majority: float | None) -> Score:
    """What an accuracy is worth nothing below: 1 / classes, or the share of the most frequent class."""
    chance = 1 / max(1, classes)
    if majority is not None and majority > chance:
        return Score("the most frequent class alone", majority, 0.0)
    return Score("chance", chance, 0.0)


def read_protocols(scores: JsonDict) -> dict[str, JsonDict]:
    """The scores by standard protocols that have a mean, by the words of the protocols."""
    protocols = {
        shorten(word, 60): to_dict(score) for word, score in to_dict(scores.get("protocols")).items()
    }
    return {word: score for word, score in protocols.items() if to_share(score.get("mean")) is not None}


def describe_by_protocol(scores: JsonDict, item_type: str = "items") -> list[str]:
    """The accuracy by the set's own recipe, then by each standard protocol, with its strongest baseline.

    '92.2 ± 0.9 % by its own recipe (strongest baseline: k-means centres, 78.7 ± 1.7 %)'.
    """
    accuracy = to_dict(scores.get("accuracy"))
    if to_share(accuracy.get("mean")) is None:
        lines = ["not measured by its own recipe"]
    else:
        lines = [f"{format_score(accuracy)} by its own recipe{describe_strongest(scores, item_type)}"]
    for word, score in read_protocols(scores).items():
        network = f", {shorten(score['network'], 60)}" if "network" in score else ""
        lines.append(f"{format_score(score)} by {word}{network}{describe_strongest(score, item_type)}")
    return lines if len(lines) > 1 else [*lines, NOT_MEASURED]


def describe_strongest(scores: JsonDict, item_type: str) -> str:
    """' (strongest baseline: k-means centres, 78.7 ± 1.7 %)'; "" where none was measured."""
    strongest = find_strongest(scores, item_type=item_type)
    if strongest is None:
        return ""
    rows = [to_dict(score) for score in to_dict(scores.get("baselines")).values()]
    score = next(row for row in rows if to_share(row.get("mean")) == strongest.mean)
    return f" (strongest baseline: {strongest.name}, {format_score(score)})"


def format_score(score: JsonDict) -> str:
    """'92.2 ± 0.9 %', or '92.2 %' of a single network."""
    mean, std, n = to_share(score.get("mean")) or 0.0, to_number(score.get("std")), to_count(score.get("n"))
    spread = f" ± {100 * std:.1f}" if std is not None and n is not None and n > 1 else ""
    return f"{100 * mean:.1f}{spread} %"


def find_strongest(scores: JsonDict, test_items: int | None = None, item_type: str = "items") -> Score | None:
    """The baseline with the largest mean accuracy; None where none was measured."""
    baselines = to_dict(scores.get("baselines")).items()
    rows = [read_score(name_baseline(k, item_type), to_dict(v), test_items) for k, v in baselines]
    return max((row for row in rows if row), key=lambda row: row.mean, default=None)


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
