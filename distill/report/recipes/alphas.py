"""The weights of a teacher's layers that a search found (DFA, Guan et al. 2020), as bars."""

import math
from collections.abc import Sequence
from typing import Any

from distill.report.recipes.reported import ReportedRun
from distill.report.sanitise import JsonDict, shorten, to_dict, to_number


def draw_alphas(reported: ReportedRun) -> JsonDict:
    """The section of α: per network and group of layers a row of each layer with its share of the sum."""
    groups = [
        {"network": network, "tap": tap, "rows": rows}
        for network, by_group in to_dict(reported.alphas).items()
        for group, values in (by_group.items() if isinstance(by_group, dict) else ())
        for tap, rows in [draw_group(str(group), values)]
        if rows
    ]
    return {"groups": groups} if groups else {}


def draw_group(group: str, values: Any) -> tuple[str, list[JsonDict]]:
    """(the student's module, a row per layer of the teacher) of the group "TAP <- LAYER LAYER"."""
    tap, _, layers = group.partition(" <- ")
    names, shares = layers.split(), to_shares(values)
    if len(names) != len(shares):
        return shorten(tap), []
    return shorten(tap), [make_bar(name, share) for name, share in zip(names, shares, strict=True)]


def make_bar(name: str, share: float) -> JsonDict:
    """A layer's row, as the macro of accuracies draws it."""
    bar = {"key": "alpha:set", "mean": share, "low": share, "high": share}
    return {**bar, "name": shorten(name, 60), "words": f"{share:.3f}", "spread": ""}


def to_shares(values: Any) -> Sequence[float]:
    """Weights as shares that sum to 1: as they are, or the softmax of α; empty for what is neither."""
    numbers = [to_number(value) for value in values] if isinstance(values, list) else []
    known = [number for number in numbers if number is not None]
    if len(known) < len(numbers) or not known:
        return []
    if min(known) >= 0 and abs(sum(known) - 1) < 1e-3:
        return known
    powers = [math.exp(number - max(known)) for number in known]
    return [power / sum(powers) for power in powers]
