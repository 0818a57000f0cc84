"""Curves of a recipe's run: each network's losses by epoch, and the held-out accuracy of all."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from distill.report.charts import (
    HEIGHT,
    POINTS,
    WIDTH,
    Points,
    describe_curve,
    linear_axis,
    place_ticks,
    step_axis,
    thin_points,
    value_axis,
)
from distill.report.recipes.reported import ReportedRun, describe_loss
from distill.report.sanitise import JsonDict, is_number, shorten, to_count, to_number, to_share

STYLES = 18  # six colours, each in three patterns
TOTAL = "their sum"


@dataclass(frozen=True)
class Line:
    """One line of a chart: an SVG path, and the line in words."""

    name: str
    path: str
    words: str
    style: int


@dataclass(frozen=True)
class Chart:
    """Lines over epochs: paths, tick places in percent of the drawing, and where stages begin."""

    title: str
    lines: tuple[Line, ...]
    grid: str
    marks: str
    heights: tuple[tuple[float, str], ...]  # from the top
    steps: tuple[tuple[float, str], ...]  # from the left
    log: bool


def draw_run_curves(reported: ReportedRun) -> JsonDict:
    """The section of curves: held-out accuracies in one chart, a chart of losses for each network, and the
    shares of regularisation samples.
    """
    records = group_records(reported.log)
    accuracies = {name: read_accuracies(rows) for name, rows in records.items()}
    accuracies = {name: points for name, points in accuracies.items() if points}
    charts = [draw_chart("Held-out accuracy", accuracies, percent=True)] if accuracies else []
    for name, rows in records.items():
        charts.append(draw_chart(f"Loss of {name}", read_losses(rows), marks=find_starts(rows)))
    shares = {
        line: points for name, rows in records.items() for line, points in read_shares(name, rows).items()
    }
    charts += [draw_chart("Regularisation samples", shares, percent=True)] if shares else []
    content = {"charts": charts, "measured": bool(accuracies), "regularising": bool(shares)}
    return content if charts else {}


def group_records(log: Sequence[JsonDict]) -> dict[str, list[JsonDict]]:
    """By network: its usable records in the order of its epochs."""
    records: dict[str, list[JsonDict]] = {}
    for record in log:
        if isinstance(record.get("network"), str) and is_number(record.get("loss")):
            records.setdefault(shorten(record["network"], 60), []).append(record)
    return records


def read_accuracies(records: Sequence[JsonDict]) -> list[tuple[int, float]]:
    """(epoch of the network, held-out accuracy) where it was measured."""
    pairs = [(k, to_share(record.get("validation"))) for k, record in enumerate(records, 1)]
    return [(k, share) for k, share in pairs if share is not None]


def read_losses(records: Sequence[JsonDict]) -> dict[str, list[tuple[int, float]]]:
    """(epoch of the network, weight · loss) of each loss, and their sum; the sum alone of a single loss."""
    lines: dict[str, list[tuple[int, float]]] = {}
    for k, record in enumerate(records, 1):
        for name, value in weigh_losses(record).items():
            lines.setdefault(name, []).append((k, value))
    total = [(k, float(record["loss"])) for k, record in enumerate(records, 1)]
    return {next(iter(lines), "loss"): total} if len(lines) < 2 else {TOTAL: total, **lines}


def weigh_losses(record: JsonDict) -> dict[str, float]:
    """Each loss of a record times its weight, by its name; one that comes twice is numbered."""
    values, count = dict[str, float](), Counter[str]()
    for loss in list_losses(record):
        if is_number(loss.get("weight")) and is_number(loss.get("value")):
            name = describe_loss(loss)
            count[name] += 1
            label = f"{name} ({count[name]})" if count[name] > 1 else name
            product = to_number(loss["weight"] * loss["value"])
            values |= {} if product is None else {label: product}
    return values


def read_shares(name: str, records: Sequence[JsonDict]) -> dict[str, list[tuple[int, float]]]:
    """(epoch of the network, share of regularisation samples) of each loss that distils logits."""
    lines: dict[str, dict[int, float]] = {}
    for k, record in enumerate(records, 1):
        for loss in list_losses(record):
            if (share := to_share(loss.get("regularising"))) is not None:
                lines.setdefault(f"{name}, {describe_loss(loss)}", {})[k] = share
    return {line: list(points.items()) for line, points in lines.items()}


def list_losses(record: JsonDict) -> list[JsonDict]:
    """The losses of a record."""
    losses = record.get("losses")
    return [loss for loss in losses if isinstance(loss, dict)] if isinstance(losses, list) else []


def find_starts(records: Sequence[JsonDict]) -> list[int]:
    """After how many epochs of the network a further stage begins."""
    stages = [to_count(record.get("stage")) for record in records]
    return [k for k in range(1, len(stages)) if stages[k] != stages[k - 1]]


def draw_chart(
    title: str, lines: Mapping[str, Points], percent: bool = False, marks: Sequence[int] = ()
) -> Chart:
    """Lines of points (epoch, value) by name; values are shares where percent."""
    scale = 100 if percent else 1
    values = [scale * value for points in lines.values() for _, value in points]
    axis = linear_axis(min(values), max(values), " %") if percent else value_axis(values)
    last = max(epoch for points in lines.values() for epoch, _ in points)

    def draw(points: Points) -> str:
        places = [(WIDTH * k / last, HEIGHT * (1 - axis.place(scale * value))) for k, value in points]
        return "M" + "L".join(f"{x:.0f} {y:.1f}" for x, y in places) + ("h0" if len(places) == 1 else "")

    drawn = [
        Line(
            name, "".join(map(draw, split_points(points))), describe_curve(points, percent, "in epoch"), style
        )
        for style, (name, points) in enumerate(lines.items())
    ]
    heights = place_ticks(axis, from_top=True)
    grid = "".join(f"M0 {HEIGHT * place / 100:.1f}H{WIDTH}" for place, _ in heights)
    starts = "".join(f"M{WIDTH * (k + 0.5) / last:.1f} 0V{HEIGHT}" for k in marks)
    return Chart(title, tuple(drawn), grid, starts, heights, place_ticks(step_axis(last)), axis.log)


def split_points(points: Points) -> list[list[tuple[int, float]]]:
    """The points of consecutive epochs, each group thinned: a loss may be in some stages only."""
    groups: list[list[tuple[int, float]]] = []
    for k, value in points:
        if not groups or k != groups[-1][-1][0] + 1:
            groups.append([])
        groups[-1].append((k, value))
    return [thin_points(group, POINTS) for group in groups]
