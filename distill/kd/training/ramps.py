"""Ramps: weights of losses that move along a stage, as functions of the share of it that is done."""

import math
from collections.abc import Callable

from distill.errors import unknown
from distill.kd.recipe.parts import RampPart, RecipeError
from distill.kd.training import RAMPS
from distill.registry import Entry, load
from distill.student.loop import Batch


def constant(p: float, start: float, end: float) -> float:
    """start, always."""
    return start


def linear(p: float, start: float, end: float) -> float:
    """start + p (end - start)."""
    return start + p * (end - start)


def geometric(p: float, start: float, end: float) -> float:
    """start^(1 - p) · end^p: equal factors over equal times."""
    return start ** (1 - p) * end**p


def cosine(p: float, start: float, end: float) -> float:
    """start + (end - start) (1 - cos πp) / 2."""
    return start + (end - start) * (1 - math.cos(math.pi * p)) / 2


def sigmoid(p: float, start: float, end: float) -> float:
    """start + (end - start) (2 / (1 + e^(-10p)) - 1) (Ganin and Lempitsky 2015, section 3.1).

    As published it ends at 0.9999 of the way.
    """
    return start + (end - start) * (2 / (1 + math.exp(-10 * p)) - 1)


def ramp_value(part: RampPart, batch: Batch) -> float:
    """The weight at a batch."""
    if part.of is not None:
        return 1 - ramp_value(part.of, batch)
    ramp = RAMPS[part.ramp]
    function: Callable[[float, float, float], float] = load(Entry(ramp.place, ramp.summary))
    progress = batch.epoch if (part.by or ramp.by) == "epoch" else batch.progress
    return function(progress, part.from_, part.to)


def check_ramp(part: RampPart, where: str) -> None:
    """Raise RecipeError for a ramp that does not exist, or that cannot have its ends."""
    if part.ramp not in RAMPS:
        raise RecipeError(f"{where}.ramp: " + unknown("ramp", part.ramp, RAMPS))
    if part.by not in (None, "epoch", "batch"):
        raise RecipeError(f"{where}.by: " + unknown("unit of time", str(part.by), ("epoch", "batch")))
    if (part.of is not None) != (part.ramp == "complement"):
        raise RecipeError(
            f"{where}.of: the ramp complement needs the ramp that it is 1 minus, and no other does"
        )
    if part.of is not None:
        check_ramp(part.of, f"{where}.of")
    for name, end in (("from", part.from_), ("to", part.to)):
        if part.ramp in ("geometric", "exponential") and not end > 0:
            raise RecipeError(f"{where}.{name} must be above 0 for the ramp {part.ramp}, not {end:g}")


def ramp_ends(part: RampPart) -> tuple[float, float]:
    """The values between which a ramp moves."""
    if part.of is None:
        return part.from_, part.to
    start, end = ramp_ends(part.of)
    return 1 - start, 1 - end
