"""Ramps: weights of losses that move along a stage, as functions of the share of it that is done."""

import math
from collections.abc import Callable

from distill.errors import unknown
from distill.kd.recipe.parts import RampPart, RecipeError
from distill.kd.training import RAMPS
from distill.registry import Entry, load
from distill.student.loop import Batch

UNITS = ("epoch", "batch")


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
    """The weight at a batch: where the ramp is, times the other one."""
    value = move(part, batch) if part.of is None else 1 - ramp_value(part.of, batch)
    return value if part.times is None else value * ramp_value(part.times, batch)


def move(part: RampPart, batch: Batch) -> float:
    """Where a ramp is at a batch."""
    ramp = RAMPS[part.ramp]
    function: Callable[[float, float, float], float] = load(Entry(ramp.place, ramp.summary))
    progress = batch.epoch if (part.by or ramp.by) == "epoch" else batch.progress
    return function(progress, *ramp_ends(part))


def ramp_ends(part: RampPart) -> tuple[float, float]:
    """The values between which a ramp moves."""
    return 0.0 if part.from_ is None else part.from_, 1.0 if part.to is None else part.to


def check_ramp(part: RampPart, where: str, most: float = math.inf) -> None:
    """Raise RecipeError for a ramp that does not exist, or cannot have its ends, which are at most `most`."""
    if part.ramp not in RAMPS:
        raise RecipeError(f"{where}.ramp: " + unknown("ramp", part.ramp, RAMPS))
    if part.by not in (None, *UNITS):
        raise RecipeError(f"{where}.by: " + unknown("unit of time", str(part.by), UNITS))
    if part.times is not None:
        check_ramp(part.times, f"{where}.times")
    if part.ramp == "complement":
        check_complement(part, where)
        return
    if part.of is not None:
        raise RecipeError(f"{where}.of is for the ramp complement: leave it out")
    if part.ramp == "constant" and part.to is not None:
        raise RecipeError(f"{where}.to: the ramp constant has no end: leave it out")
    for name, end in zip(("from", "to"), ramp_ends(part), strict=True):
        if RAMPS[part.ramp].place.endswith(":geometric") and not end > 0:
            raise RecipeError(f"{where}.{name} must be above 0 for the ramp {part.ramp}, not {end:g}")
        if not end >= 0:
            raise RecipeError(f"{where}.{name} must be at least 0, not {end:g}")
        if not end <= most:
            raise RecipeError(f"{where}.{name} must be at most {most:g} in a complement, not {end:g}")


def check_complement(part: RampPart, where: str) -> None:
    """Raise RecipeError where 1 minus a ramp is none, or falls below zero."""
    if part.of is None:
        raise RecipeError(f"{where}.of is missing: complement is 1 minus another ramp")
    for name, value in (("from", part.from_), ("to", part.to), ("by", part.by)):
        if value is not None:
            raise RecipeError(f"{where}.{name}: give it to the ramp that the complement is of")
    check_ramp(part.of, f"{where}.of", most=1.0)
