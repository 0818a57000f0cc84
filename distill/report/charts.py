"""Numbers as small inline SVG drawings: axes with readable ticks, curves, bars."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from distill.report.sanitise import JsonDict
from distill.report.snapshots import ReportedSet, select_records

BARS, BAR_HEIGHT = 100, 40  # most bars of one label; units of a label's drawing
WIDTH, HEIGHT, POINTS = 1000, 300, 400  # units of a curve's drawing; most points of it
INTERVALS, LOG_TICKS = 4, 6  # most intervals between linear ticks, most logarithmic ticks
WINDOW = 20  # records in a point of the outer loss
Points = Sequence[tuple[int, float]]  # (outer step, value)


@dataclass(frozen=True)
class Axis:
    """A range of values, and ticks in it with labels that all differ."""

    low: float
    high: float
    ticks: tuple[float, ...]
    labels: tuple[str, ...]
    log: bool = False

    def place(self, value: float) -> float:
        """Where a value lies: 0 at the low end, 1 at the high end."""
        if self.log:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)


def linear_axis(low: float, high: float, unit: str = "") -> Axis:
    """An axis that begins and ends at a tick; ticks are multiples of 1, 2 or 5 times a power of ten."""
    if high - low <= 1e-6 * max(abs(low), abs(high)):
        margin = 0.05 * max(abs(low), abs(high)) or 1.0
        low, high = (low - margin, low) if unit and low > 99 else (low, high + margin)
    step = round_step((high - low) / INTERVALS)
    first, last = math.floor(low / step + 1e-6), math.ceil(high / step - 1e-6)
    ticks = tuple(k * step for k in range(first, last + 1))
    return Axis(ticks[0], ticks[-1], ticks, tuple(text + unit for text in format_ticks(ticks, step)))


def log_axis(low: float, high: float) -> Axis:
    """A logarithmic axis over at least a decade; ticks at powers of ten, or at 1, 2 and 5 times those."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 2, 5)):
        ticks = [(m, k) for k in decades for m in factors if low * 0.999 <= m * 10.0**k <= high * 1.001]
        if len(ticks) > 2:
            break
    ticks = ticks[:: -(-len(ticks) // LOG_TICKS)]
    labels = tuple(format_power(m, k) for m, k in ticks)
    return Axis(low, high, tuple(m * 10.0**k for m, k in ticks), labels, log=True)


def value_axis(values: Sequence[float]) -> Axis:
    """Logarithmic where all values are positive and span a decade or more, else linear."""
    low, high = min(values), max(values)
    return log_axis(low, high) if low > 0 and high / low >= 10 else linear_axis(low, high)


def round_step(step: float) -> float:
    """The smallest of 1, 2, 5, 10 times a power of ten that is not below a positive number."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(m * power for m in (1, 2, 5, 10) if m * power >= step * (1 - 1e-9))


def format_ticks(ticks: Sequence[float], step: float) -> list[str]:
    """Multiples of a step with as many digits as tell them apart: '0.25', '2,000', '1.5e-6'."""
    top, digits = max(map(abs, ticks)), -math.floor(math.log10(step) + 1e-6)
    if step >= 1e-4 and top < 1e6:
        return [f"{v + 0.0:,.{max(0, digits)}f}" for v in ticks]
    power = math.floor(math.log10(top) + 1e-6)
    return ["0" if v == 0 else f"{v / 10.0**power:.{max(0, power + digits)}f}e{power}" for v in ticks]


def format_power(factor: int, power: int) -> str:
    """factor · 10^power: '0.02', '5,000', '2e-7'."""
    if -5 < power < 6:
        return f"{factor * 10.0**power:,.{max(0, -power)}f}"
    return f"{factor}e{power}"


# Curves


@dataclass(frozen=True)
class Curve:
    """One line over outer steps: SVG paths, tick places in percent of the drawing, and the line in words."""

    title: str
    path: str
    grid: str
    heights: tuple[tuple[float, str], ...]  # from the top
    steps: tuple[tuple[float, str], ...]  # from the left
    last: int
    words: str
    log: bool


def draw_curves(reported: ReportedSet) -> JsonDict:
    """The section of curves: outer loss and held-out accuracy, and the outer step of the exported items."""
    losses, accuracies = read_losses(reported.log), read_accuracies(reported.log)
    curves = (
        draw_curve("Outer loss", losses, percent=False),
        draw_curve("Held-out accuracy", accuracies, percent=True),
    )
    charts = [curve for curve in curves if curve]
    return {"curves": charts, "step": reported.exported_step} if charts else {}


def read_losses(log: Sequence[JsonDict]) -> list[tuple[int, float]]:
    """(outer step, outer loss), each the mean of up to 20 records that end there."""
    records = select_records(log, "loss")
    means = running_mean([r["loss"] for r in records], WINDOW)
    return [(r["step"], mean) for r, mean in zip(records, means, strict=True)]


def read_accuracies(log: Sequence[JsonDict]) -> list[tuple[int, float]]:
    """(outer step, held-out accuracy) of each check."""
    return [(r["step"], r["validation"]) for r in select_records(log, "validation")]


def running_mean(values: Sequence[float], window: int) -> list[float]:
    """The mean of up to `window` values that end at each place."""
    return [statistics.fmean(values[max(0, i + 1 - window) : i + 1]) for i in range(len(values))]


def draw_curve(title: str, points: Points, percent: bool) -> Curve | None:
    """Points (step, value) as a line; values are shares where percent. None without two points."""
    points = [p for p in points if not percent or 0 <= p[1] <= 1]
    last = max((step for step, _ in points), default=0)
    if len(points) < 2 or last == 0:
        return None
    line = thin_points([(s, 100 * v if percent else v) for s, v in points], POINTS)
    values = [v for _, v in line]
    axis = linear_axis(min(values), max(values), " %") if percent else value_axis(values)
    steps = step_axis(last)
    path = "L".join(f"{WIDTH * s / last:.0f} {HEIGHT * (1 - axis.place(v)):.1f}" for s, v in line)
    heights = place_ticks(axis, from_top=True)
    grid = "".join(f"M0 {HEIGHT * place / 100:.1f}H{WIDTH}" for place, _ in heights)
    return Curve(
        title, "M" + path, grid, heights, place_ticks(steps), last, describe_curve(points, percent), axis.log
    )


def step_axis(last: int) -> Axis:
    """An axis from 0 to the last step, which need not be a tick; ticks are whole."""
    step = max(1, round(round_step(last / INTERVALS)))
    ticks = tuple(range(0, last + 1, step))
    return Axis(0, last, ticks, tuple(f"{t:,}" for t in ticks))


def place_ticks(axis: Axis, from_top: bool = False) -> tuple[tuple[float, str], ...]:
    """(percent of the drawing, label) of each tick."""
    places = [axis.place(tick) for tick in axis.ticks]
    return tuple(
        (round(100 * (1 - p if from_top else p), 2), label)
        for p, label in zip(places, axis.labels, strict=True)
    )


def describe_curve(points: Points, percent: bool, where: str = "at step") -> str:
    """The line in words, for a reader who does not see it."""

    def format_value(value: float) -> str:
        return f"{100 * value:.1f} %" if percent else f"{value:.3g}"

    if len(points) == 1:
        return f"{format_value(points[0][1])} {where} {points[0][0]:,}"
    best = (max if percent else min)(points, key=lambda p: p[1])
    name = "highest" if percent else "lowest"
    first, last = points[0], points[-1]
    return (
        f"from {format_value(first[1])} {where} {first[0]:,} to {format_value(last[1])} {where} {last[0]:,};"
        f" {name} {format_value(best[1])} {where} {best[0]:,}"
    )


def thin_points(points: Points, most: int) -> list[tuple[int, float]]:
    """At most so many of the points, evenly, the last among them."""
    stride = -(-len(points) // most)
    return list(points[::-1][::stride][::-1]) if stride > 1 else list(points)


# Bars


def group_values(values: Sequence[float], most: int = BARS) -> list[float]:
    """A label's bars: its values, or where they are too many the largest of each of `most` groups."""
    size = -(-len(values) // most)
    return [max(values[i : i + size], key=abs) for i in range(0, len(values), size)]


def draw_bars(values: Sequence[float], low: float, high: float) -> tuple[str, str]:
    """Two paths: the bars above zero and those below, on a drawing that spans low ≤ 0 to high ≥ 0."""
    unit = BAR_HEIGHT / ((high - low) or 1.0)
    zero = high * unit
    up: list[str] = []
    down: list[str] = []
    for i, value in enumerate(group_values(values)):
        length = -value * unit
        if abs(length) >= 0.2:
            (up if value > 0 else down).append(f"M{i}.1 {zero:.1f}v{length:.1f}h.8v{-length:.1f}z")
    return "".join(up), "".join(down)


def draw_lrs(lrs: Sequence[Sequence[float]]) -> JsonDict:
    """Bars of each step's mean learning rate, strokes from its smallest to its largest, and the axes."""
    size = -(-len(lrs) // BARS)
    groups = [[v for row in lrs[i : i + size] for v in row] for i in range(0, len(lrs), size)]
    axis = linear_axis(min(0.0, *map(min, groups)), max(0.0, *map(max, groups)))
    bars, strokes = [], []
    zero = BAR_HEIGHT * (1 - axis.place(0.0))
    for i, group in enumerate(groups):
        mean, least, most = (
            BAR_HEIGHT * (1 - axis.place(v)) for v in (statistics.fmean(group), min(group), max(group))
        )
        bars.append(f"M{i}.1 {zero:.2f}V{mean:.2f}h.8V{zero:.2f}z")
        strokes.append(f"M{i}.5 {least:.2f}V{most:.2f}")
    heights = place_ticks(axis, from_top=True)
    return {
        "bars": "".join(bars), "strokes": "".join(strokes), "columns": len(groups), "heights": heights,
        "grid": "".join(f"M0 {BAR_HEIGHT * place / 100:.2f}H{len(groups)}" for place, _ in heights),
    }  # fmt: skip
