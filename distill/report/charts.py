"""Numbers as the paths of small inline SVGs, and the words beside them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

COLUMNS, HEIGHT = 100, 40  # most bars of one label; units of a label's drawing
WIDE, TALL, POINTS = 1000, 300, 400  # units of a curve's drawing; most points of it


@dataclass(frozen=True)
class Curve:
    """One line over outer steps: its SVG path, and the words at its axes."""

    title: str
    path: str
    heights: tuple[str, ...]  # top, middle, bottom
    steps: tuple[str, ...]  # left, middle, right
    last: int
    words: str


def curve(title: str, points: Sequence[tuple[int, float]], percent: bool) -> Curve | None:
    """Points (step, value) as a line; the height is percent, or logarithmic. None without two points."""
    points = [p for p in points if (0 <= p[1] <= 1 if percent else p[1] > 0)]
    last = max((step for step, _ in points), default=0)
    if len(points) < 2 or last == 0:
        return None
    line = [(step, v if percent else math.log(v)) for step, v in thinned(points, POINTS)]
    low, high = bounds([v for _, v in line], percent)
    path = "L".join(f"{WIDE * step / last:.0f} {TALL * (high - v) / (high - low):.1f}" for step, v in line)
    middle = (low + high) / 2
    told = [f"{100 * v:.3g} %" if percent else f"{math.exp(v):.3g}" for v in (high, middle, low)]
    steps = tuple(f"{s:,}" for s in (0, last // 2, last))
    return Curve(title, "M" + path, tuple(told), steps, last, course(points, percent))


def bounds(values: Sequence[float], percent: bool) -> tuple[float, float]:
    """The lowest and highest that a chart shows: whole tenths for shares, the values' own for logarithms."""
    low, high = min(values), max(values)
    if percent:
        return min(0.9, math.floor(10 * low) / 10), min(1.0, math.floor(10 * high + 1) / 10)
    return (low, high) if high - low > 1e-6 else (low - 0.1, high + 0.1)


def course(points: Sequence[tuple[int, float]], percent: bool) -> str:
    """What a reader who does not see the line is told of it."""

    def told(place: tuple[int, float]) -> str:
        return f"{100 * place[1]:.1f} %" if percent else f"{place[1]:.3g}"

    best = (max if percent else min)(points, key=lambda p: p[1])
    name = "highest" if percent else "lowest"
    first, last = points[0], points[-1]
    return (
        f"from {told(first)} at step {first[0]:,} to {told(last)} at step {last[0]:,};"
        f" {name} {told(best)} at step {best[0]:,}"
    )


def thinned(points: Sequence[tuple[int, float]], most: int) -> list[tuple[int, float]]:
    """At most so many of the points, evenly, the last among them."""
    stride = -(-len(points) // most)
    return list(points[::-1][::stride][::-1]) if stride > 1 else list(points)


def columns(values: Sequence[float]) -> list[float]:
    """A label's bars: its values, or where they are more than 100 the largest of each of 100 groups."""
    size = -(-len(values) // COLUMNS)
    return [max(values[i : i + size], key=abs) for i in range(0, len(values), size)]


def bars(values: Sequence[float], low: float, high: float) -> tuple[str, str]:
    """Two paths: the bars above zero and those below, on a drawing that spans low ≤ 0 to high ≥ 0."""
    unit = HEIGHT / ((high - low) or 1.0)
    zero = high * unit
    up: list[str] = []
    down: list[str] = []
    for i, value in enumerate(columns(values)):
        length = -value * unit
        if abs(length) >= 0.2:
            (up if value > 0 else down).append(f"M{i}.1 {zero:.1f}v{length:.1f}h.8v{-length:.1f}z")
    return "".join(up), "".join(down)


def rates(lrs: Sequence[Sequence[float]]) -> tuple[str, str]:
    """Two paths for the rates of each step: bars of their mean, and strokes from smallest to largest."""
    size = -(-len(lrs) // COLUMNS)
    groups = [[v for row in lrs[i : i + size] for v in row] for i in range(0, len(lrs), size)]
    top = max(max(map(abs, group)) for group in groups) or 1.0
    means, strokes = [], []
    for i, group in enumerate(groups):
        mean, least, most = (HEIGHT * v / top for v in (sum(group) / len(group), min(group), max(group)))
        means.append(f"M{i}.1 {HEIGHT}v{-mean:.2f}h.8v{mean:.2f}z")
        strokes.append(f"M{i}.5 {HEIGHT - least:.2f}V{HEIGHT - most:.2f}")
    return "".join(means), "".join(strokes)
