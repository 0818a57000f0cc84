"""The congruence loss of route-constrained optimisation (Jin et al. 2019), from the runs of the recipe rco.

It is the mean KL(last anchor ‖ student), in nats, on 1,000 training items after the training: how far the
student is from where the route leads. Jin et al. hold that a route lowers it. A row has the mean over seeds
and the difference from plain distillation, with a bootstrap over seeds alone.
"""

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cases import markdown
from benchmarks.kd.intervals import bootstrap
from benchmarks.kd.runs import load_scores
from benchmarks.kd.studies import write_study
from benchmarks.kd.tables import describe_interval

RECIPE, PLAIN = "rco", "kd"
STUDENTS = {
    "kd": "plain distillation",
    "restarts": "four legs of the last anchor",
    "student": "the route of four anchors",
    "greedy": "greedy anchors",
    "continued": "the route, one optimiser throughout",
}
WORDS = {"shown": "further away", "opposite": "nearer"}


def build_rows(root: Path) -> list[dict[str, Any]]:
    """For each student its congruence losses by seed, and the difference from plain distillation."""
    runs = [run["networks"] for run in load_scores(root, RECIPE)]
    losses = {name: np.array([run[name]["congruence"] for run in runs]) for name in STUDENTS if runs}
    rows = []
    for name, values in losses.items():
        row: dict[str, Any] = {"student": name, "congruence": values.round(5).tolist()}
        if name != PLAIN:
            row["over plain"] = describe_interval(bootstrap((values - losses[PLAIN])[:, None]))
        rows.append(row)
    return rows


def format_rows(rows: list[dict[str, Any]]) -> str:
    """Losses in nats."""
    head = [
        "the student learns from",
        "congruence loss, nats",
        "over plain distillation",
        "which is",
        "seeds",
    ]
    lines = []
    for row in rows:
        d = row.get("over plain")
        cells = (
            [f"{d['mean']:+.3f} ({d['low']:+.3f} … {d['high']:+.3f})", WORDS.get(d["verdict"], "undecided")]
            if d
            else ["-", "-"]
        )
        mean, seeds = f"{np.mean(row['congruence']):.3f}", str(len(row["congruence"]))
        lines.append([STUDENTS[row["student"]], mean, *cells, seeds])
    return markdown(head, lines)


def write_congruence(root: Path) -> None:
    """benchmarks/results/kd-congruence.json and .md, where the recipe was run with ten seeds."""
    if rows := build_rows(root):
        write_study("congruence", len(rows[0]["congruence"]), {"rows": rows}, format_rows(rows))
