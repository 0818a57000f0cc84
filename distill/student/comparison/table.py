"""Rows of a comparison as a table: its cells, the strongest baselines, the mean and worst of each row.

A row is one cell: protocol, network, items, kind, mean, std, n, rates. Imports no torch.
"""

import statistics
from collections.abc import Sequence
from typing import Any, NamedTuple

Row = dict[str, Any]
SET, HARD, BASELINE = "set", "hard labels", "baseline"  # kinds of items
PLAIN, ALL = "no augmentation", "all real items"  # trained otherwise than the column says
TEACHER_LABELS = ", teacher labels"  # after the name of a coreset
OF_COLUMN = (SET, HARD, BASELINE)


class Summary(NamedTuple):
    """The mean and the lowest of a row's accuracies over the columns that it has, and how many those are."""

    items: str
    mean: float
    worst: float
    columns: int


def list_columns(rows: Sequence[Row]) -> list[tuple[str, str]]:
    """The (protocol, network) pairs of the table in their order."""
    return list(dict.fromkeys((r["protocol"], r["network"]) for r in rows if r["kind"] in OF_COLUMN))


def find_strongest(rows: Sequence[Row], protocol: str, network: str) -> Row | None:
    """The baseline of the highest mean in a column; None where there is none."""
    column = [r for r in rows if (r["protocol"], r["network"]) == (protocol, network)]
    return max((r for r in column if r["kind"] == BASELINE), key=lambda r: float(r["mean"]), default=None)


def summarise(rows: Sequence[Row]) -> list[Summary]:
    """Mean and worst of each row, in the order of the rows."""
    means: dict[str, list[float]] = {}
    for row in rows:
        if row["kind"] in OF_COLUMN:
            means.setdefault(row["items"], []).append(row["mean"])
    return [Summary(items, statistics.fmean(m), min(m), len(m)) for items, m in means.items()]


def count_wins(rows: Sequence[Row]) -> tuple[int, int]:
    """In how many columns the set is above the strongest baseline, and of how many."""
    pairs = [
        (row["mean"], strongest["mean"])
        for row in rows
        if row["kind"] == SET and (strongest := find_strongest(rows, row["protocol"], row["network"]))
    ]
    return sum(score > baseline for score, baseline in pairs), len(pairs)


def format_table(rows: Sequence[Row]) -> str:
    """Items down; protocols with networks, mean and worst across; the strongest baselines last. Markdown."""
    columns = list_columns(rows)
    cells = {(r["items"], r["protocol"], r["network"]): format_cell(r) for r in rows}
    names = [name_column(*column, several=len({p for p, _ in columns}) > 1) for column in columns]
    lines = [format_line(["items", *names, "mean", "worst"]), "|---" * (3 + len(columns)) + "|"]
    for row in summarise(rows):
        values = [cells.get((row.items, *column), "") for column in columns]
        lines.append(format_line([row.items, *values, f"{100 * row.mean:.1f}", f"{100 * row.worst:.1f}"]))
    for items in dict.fromkeys(r["items"] for r in rows if r["kind"] == PLAIN):
        lines.append(format_line([items, *(cells.get((items, *c), "") for c in columns), "", ""]))
    for items in dict.fromkeys(r["items"] for r in rows if r["kind"] == ALL):
        networks = {r["network"]: format_cell(r) for r in rows if r["items"] == items}
        lines.append(format_line([items, *(networks.get(network, "") for _, network in columns), "", ""]))
    strongest = [find_strongest(rows, *column) for column in columns]
    if any(strongest):
        values = [f"{s['items']} {100 * s['mean']:.1f}" if s else "" for s in strongest]
        lines.append(format_line(["**strongest baseline**", *values, "", ""]))
    return "\n".join(lines)


def format_cell(row: Row) -> str:
    """'91.2 ± 0.4' in percent; a single score has no spread."""
    return f"{100 * row['mean']:.1f}" + (f" ± {100 * row['std']:.1f}" if row["n"] > 1 else "")


def format_line(values: Sequence[str]) -> str:
    """A line of a table in Markdown."""
    return f"| {' | '.join(values)} |"


def name_column(protocol: str, network: str, several: bool) -> str:
    """'dc, lenet', or 'lenet' where all columns are of one protocol."""
    return f"{protocol}, {network}" if several else network
