"""DD-Ranking's scores of a set from the cells of a comparison (Li et al. 2024; DD-Ranking 0.2.0).

They ask what is due to the items, beside soft labels and augmentation. Accuracies are shares in [0, 1].
"""

import math
from collections.abc import Sequence
from typing import Any

from distill.student.comparison.table import ALL, HARD, PLAIN, SET, TEACHER_LABELS, Row, list_columns

WEIGHT = 0.5  # w and γ of the two scores, as on the leaderboard


def hard_label_recovery(real: float, hard: float) -> float:
    """HLR = acc(all real items, hard labels) - acc(the set's items, hard labels): smaller is better."""
    return real - hard


def improvement_over_random(distilled: float, random: float) -> float:
    """IOR = acc(the set) - acc(as many random real items, trained and labelled in the same way)."""
    return distilled - random


def label_robust_score(hlr: float, ior: float, weight: float = WEIGHT) -> float:
    """LRS = (e^α - e^-1) / (e - e^-1) in [0, 1], with α = w · IOR - (1 - w) · HLR."""
    return normalise(weight * ior - (1 - weight) * hlr)


def augmentation_robust_score(augmented: float, plain: float, weight: float = WEIGHT) -> float:
    """ARS = (e^β - e^-1) / (e - e^-1) in [0, 1], with β = γ · (IOR with) + (1 - γ) · (IOR without).

    augmented and plain are the set's improvements over random items with and without augmentation.
    """
    return normalise(weight * augmented + (1 - weight) * plain)


def normalise(value: float) -> float:
    """A score in [-1, 1] as (e^value - e^-1) / (e - e^-1), in [0, 1]."""
    return (math.exp(value) - math.exp(-1)) / (math.e - math.exp(-1))


def rank_columns(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """For each protocol and network hlr, ior, lrs and ars, or None where a cell is missing.

    They are those of the mean accuracies; DD-Ranking averages the scores of single networks. HLR needs a
    network that was trained on all real items, IOR random items, ARS a protocol that augments.
    """
    return [{"protocol": p, "network": n, **rank_column(rows, p, n)} for p, n in list_columns(rows)]


def rank_column(rows: Sequence[Row], protocol: str, network: str) -> dict[str, float | None]:
    """The four scores of one column; random items have labels of the set's own sort, hard or soft."""
    column = [r for r in rows if (r["protocol"], r["network"]) == (protocol, network)]
    means = {r["items"]: r["mean"] for r in column}
    distilled = next((r["items"] for r in column if r["kind"] == SET), "")
    hard = next((r["items"] for r in column if r["kind"] == HARD), distilled)
    random = "random" if hard == distilled else "random" + TEACHER_LABELS
    real = next((r["mean"] for r in rows if r["kind"] == ALL and r["network"] == network), None)
    hlr = combine(hard_label_recovery, real, means.get(hard))
    ior = combine(improvement_over_random, means.get(distilled), means.get(random))
    plain = [means.get(f"{items}, {PLAIN}") for items in (distilled, random)]
    ars = combine(augmentation_robust_score, ior, combine(improvement_over_random, *plain))
    return {"hlr": hlr, "ior": ior, "lrs": combine(label_robust_score, hlr, ior), "ars": ars}


def combine(function: Any, first: float | None, second: float | None) -> float | None:
    """function(first, second); None where one of them is missing."""
    return None if first is None or second is None else float(function(first, second))


def format_scores(scores: Sequence[dict[str, Any]]) -> str:
    """The scores as lines of Markdown, in percent; '-' for a missing one."""
    lines = ["| DD-Ranking | HLR ↓ | IOR ↑ | LRS ↑ | ARS ↑ |", "|---|---|---|---|---|"]
    for row in scores:
        values = [row[name] for name in ("hlr", "ior", "lrs", "ars")]
        words = ["-" if v is None else f"{100 * v:.1f}" for v in values]
        lines.append(f"| {row['protocol']}, {row['network']} | {' | '.join(words)} |")
    return "\n".join(lines)
