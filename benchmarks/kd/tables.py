"""The table of the rows: scores, intervals and verdicts, from the runs; earlier rows stay where no run is."""

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.cases import markdown
from benchmarks.kd import SEEDS
from benchmarks.kd.intervals import Interval, bootstrap
from benchmarks.kd.rows import ROWS, Row
from benchmarks.kd.runs import list_seeds, load_scores, stack_correct


def build_row(root: Path, row: Row) -> dict[str, Any] | None:
    """A row's scores by seed, and the interval of its difference; None where nothing was run."""
    student, over = (stack_correct(root, row.recipe, name, row.split) for name in (row.student, row.over))
    if student is None or over is None:
        return None
    seconds = statistics.fmean(run["seconds"] for run in load_scores(root, row.recipe))
    return {
        **asdict(row),
        "student_scores": student.mean(axis=1).round(5).tolist(),
        "over_scores": over.mean(axis=1).round(5).tolist(),
        "difference": describe_interval(bootstrap(student - over)),
        "first_seed": list_seeds(root, row.recipe)[0],
        "seconds": round(seconds, 1),
    }


def describe_interval(interval: Interval) -> dict[str, Any]:
    """An interval as the results file holds it."""
    numbers = {key: round(float(value), 6) for key, value in asdict(interval).items()}
    counts = {"seeds": interval.seeds, "items": interval.items}
    return {**numbers, **counts, "verdict": interval.verdict}


def build_rows(root: Path, old: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """All rows that were measured, now or before."""
    before = {row["name"]: row for row in old}
    rows = [build_row(root, row) or before.get(row.name) for row in ROWS]
    return [row for row in rows if row]


def format_rows(rows: Sequence[dict[str, Any]]) -> str:
    """The rows as a Markdown table; scores in percent, differences in points."""
    head = ["row", "recipe", "score, %", "over", "its score, %", "difference", "verdict", "seeds", "authors"]
    lines = []
    for row in rows:
        student, over = (statistics.fmean(row[key]) for key in ("student_scores", "over_scores"))
        name, recipe = f"{row['name']}", f"`{row['recipe']}`: `{row['student']}`"
        scores = (f"{100 * student:.1f}", f"`{row['over']}`", f"{100 * over:.1f}")
        d = row["difference"]
        lines.append([
            name, recipe, *scores, format_difference(d), format_verdict(d), format_seeds(row), row["authors"],
        ])  # fmt: skip
    return markdown(head, lines)


def format_seeds(row: dict[str, Any]) -> str:
    """How many seeds; where the first is not 0, also which."""
    count, first = row["difference"]["seeds"], row.get("first_seed", 0)
    return f"{count} ({first} to {first + count - 1})" if first else str(count)


def format_difference(difference: dict[str, Any]) -> str:
    """A difference in points with its interval."""
    mean, low, high = (100 * difference[key] for key in ("mean", "low", "high"))
    return f"{mean:+.2f} ({low:+.2f} … {high:+.2f})"


def format_verdict(difference: dict[str, Any]) -> str:
    """The verdict; where nothing was shown, with the smallest effect that these runs could have shown."""
    if difference["verdict"] in ("shown", "opposite"):
        return str(difference["verdict"])
    return f"{difference['verdict']} (could show {100 * difference['smallest']:.2f})"


def read_results() -> dict[str, Any]:
    """What benchmarks/results/kd.json holds."""
    path = machine.RESULTS / "kd.json"
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return content


def write_rows(root: Path) -> None:
    """benchmarks/results/kd.json and kd.md, from the runs; a row of fewer seeds than ten is only printed."""
    rows = build_rows(root, read_results().get("rows", []))
    complete = [row for row in rows if row["difference"]["seeds"] >= SEEDS]
    path = machine.write_results("kd", "make bench-kd", {"rows": complete})
    text = format_rows(complete) if complete else f"No row has {SEEDS} seeds yet: `make bench-kd` goes on."
    path.with_suffix(".md").write_text(text + "\n", encoding="utf-8")
    print(f"{format_rows(rows)}\n{len(complete)} of {len(ROWS)} rows are complete: {path}")
