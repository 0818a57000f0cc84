"""What each way to adapt and to distil costs (Nguyen-Meidine et al. 2020), beside its score on the target.

From the runs of the recipes uda and uda-back: kd-adaptation.json and kd-adaptation.md. The seconds of a
system are those of all stages in which it, or a teacher of its, learns.
"""

import json
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.cases import markdown
from benchmarks.kd import load_recipe
from benchmarks.kd.protocol import list_lineage
from benchmarks.kd.runs import find_files
from benchmarks.kd.studies import write_study
from distill.kd.recipe.parts import Recipe

DIRECTIONS = {"uda": "MNIST → USPS", "uda-back": "USPS → MNIST"}
SYSTEMS = {
    "plain": "the source alone",
    "alone": "adapt, no teacher",
    "adapt-distil": "adapt, then distil",
    "distil-adapt": "distil, then adapt",
    "student": "adapt and distil together",
}


def build_costs(root: Path) -> list[dict[str, Any]]:
    """For each direction and system: its scores, seconds and stages' seconds by seed, and parameters."""
    rows = []
    for name in DIRECTIONS:
        logs, recipe = find_files(root, name, "log.jsonl"), load_recipe(name)
        if logs:
            runs = [json.loads(path.with_name("scores.json").read_text(encoding="utf-8")) for path in logs]
            seconds = [sum_seconds(path) for path in logs]
            rows += [build_cost(name, system, recipe, runs, seconds) for system in SYSTEMS]
    return rows


def sum_seconds(path: Path) -> dict[int, float]:
    """The seconds of each stage of a log; the networks of a stage have its seconds in common."""
    records = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    epochs = {(record["stage"], record["epoch"]): record["seconds"] for record in records}
    stages = {stage for stage, _ in epochs}
    return {stage: sum(s for (k, _), s in epochs.items() if k == stage) for stage in sorted(stages)}


def build_cost(
    name: str,
    system: str,
    recipe: Recipe,
    runs: Sequence[dict[str, Any]],
    seconds: Sequence[dict[int, float]],
) -> dict[str, Any]:
    """The row of a system in one direction."""
    lineage = list_lineage(recipe, [system])
    stages = [k for k, stage in enumerate(recipe.stages) if set(lineage) & set(stage.turns)]
    parameters = runs[0]["parameters"]
    return {
        "recipe": name,
        "network": system,
        "target": [run["networks"][system]["target"] for run in runs],
        "seconds": [round(sum(by_stage[k] for k in stages), 2) for by_stage in seconds],
        "stages": {k: round(statistics.fmean(by_stage[k] for by_stage in seconds), 2) for k in stages},
        "parameters": parameters[system],
        "teachers": {teacher: parameters[teacher] for teacher in lineage[1:]},
    }


def format_costs(rows: Sequence[dict[str, Any]]) -> str:
    """Scores in percent, seconds of training by stage and together."""
    head = [
        "direction",
        "system",
        "on the target, %",
        "parameters",
        "of its teacher",
        "stages, s",
        "together, s",
    ]
    lines = []
    for row in rows:
        teachers = ", ".join(f"{count:,}" for count in row["teachers"].values()) or "-"
        stages = " + ".join(f"{seconds:.1f}" for seconds in row["stages"].values())
        lines.append([
            DIRECTIONS[row["recipe"]], f"{SYSTEMS[row['network']]}, `{row['network']}`",
            f"{100 * statistics.fmean(row['target']):.1f}", f"{row['parameters']:,}", teachers, stages,
            f"{statistics.fmean(row['seconds']):.1f}",
        ])  # fmt: skip
    return markdown(head, lines)


def write_adaptation(root: Path) -> None:
    """The table, where both directions were run with ten seeds."""
    rows = build_costs(root)
    seeds = min((len(row["target"]) for row in rows), default=0)
    if {row["recipe"] for row in rows} == set(DIRECTIONS):
        write_study("adaptation", seeds, {"rows": rows}, format_costs(rows))
