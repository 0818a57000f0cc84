"""More tables of `make bench-kd`: distillation beside other techniques, and teachers on distilled sets."""

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.cases import markdown

ZOO = Path(__file__).parents[1] / "zoo"
TECHNIQUES = ("mixup", "smoothing", "augment", "prune", "int8", "separable", "bagging")
SETS = ("mnist-10.pt", "mnist-5.pt", "mnist-10-random.pt")
Interval = tuple[float, float]


def build_factorial(runs: Sequence[dict[str, Any]], interval: Any) -> list[dict[str, Any]]:
    """Gains over a plain student: the technique's, distillation's, both, and what both have beyond the sum.

    For bagging, "with distillation" is one student of the ensemble, and the sum means nothing.
    """

    def compute_gain(*summands: tuple[str, int]) -> Interval:
        values = [sum(sign * run["networks"][name]["accuracy"] for name, sign in summands) for run in runs]
        gain: Interval = interval(values)
        return gain

    rows = []
    for name in TECHNIQUES if runs else ():
        with_kd = f"{name}-kd"
        rows.append({
            "technique": name,
            "alone": compute_gain((name, 1), ("plain", -1)),
            "kd": compute_gain(("kd", 1), ("plain", -1)),
            "both": compute_gain((with_kd, 1), ("plain", -1)),
            "interaction": compute_gain((with_kd, 1), (name, -1), ("kd", -1), ("plain", 1)),
        })  # fmt: skip
    return rows


def format_factorial(rows: Sequence[dict[str, Any]]) -> str:
    """The gains in points, with 95 % intervals."""
    head = ["technique", "alone", "KD", "both", "interaction", "verdict"]
    keys = ("alone", "kd", "both", "interaction")
    return markdown(
        head,
        [
            [r["technique"], *(format_points(r[key]) for key in keys), describe_interaction(r["interaction"])]
            for r in rows
        ],
    )


def describe_interaction(interaction: Interval) -> str:
    """Whether two gains are as large together as their sum: what Park et al. call orthogonal."""
    mean, half = interaction
    return "orthogonal" if abs(mean) <= half else "less than the sum" if mean < 0 else "more than the sum"


def format_points(gain: Interval) -> str:
    return f"{100 * gain[0]:+.2f} ± {100 * gain[1]:.2f}"


def score_teachers(root: Path, name: str) -> None:
    """Scores of students of a set of the zoo, by its labels and with the teachers of each meeting's run."""
    for run in sorted(root.glob("meeting-s*/scores.json")):
        out = run.parent / f"{name}.json"
        if out.exists():
            continue
        start = time.perf_counter()
        scores: dict[str, float] = {}
        for teacher in ("teacher", "assistant"):
            result = run_command("student", name, run.parent / f"{teacher}.pt", "--seeds", "3")
            scores |= {"none": result["accuracy"]["mean"], teacher: result["with_teacher"]["mean"]}
        options = ("--seeds", "3", "--out", str(out.with_suffix(".pt")))
        result = run_command("relabel", name, run.parent / "teacher.pt", *options)
        scores |= {"relabelled": result["teacher_labels"]["mean"], "seconds": time.perf_counter() - start}
        out.write_text(json.dumps(scores), encoding="utf-8")


def run_command(verb: str, name: str, teacher: Path, *options: str) -> dict[str, Any]:
    """The JSON line of a command on a set of the zoo with a teacher."""
    line = [sys.executable, "-m", "distill", verb, str(ZOO / name), "--teacher", str(teacher), "--json"]
    output = subprocess.run([*line, *options], capture_output=True, text=True, check=True).stdout
    result: dict[str, Any] = json.loads(output.strip().split("\n")[-1])
    return result


def build_meeting(root: Path) -> list[dict[str, Any]]:
    """Rows by training items: no teacher, KD, TAKD, each mean over the meeting's runs."""
    runs = [
        json.loads(p.read_text(encoding="utf-8"))["networks"]
        for p in sorted(root.glob("meeting-s*/scores.json"))
    ]
    rows = []
    for name, items in (("all", "all 60,000 images"), ("few", "600 images")):
        if runs:
            cells = {
                label: [run[key]["accuracy"] for run in runs]
                for label, key in (("none", name), ("kd", f"{name}-kd"), ("takd", f"{name}-takd"))
            }
            rows.append({"items": items, **cells})
    for name in SETS:
        paths = sorted(root.glob(f"meeting-s*/{name}.json"))
        scores = [json.loads(p.read_text(encoding="utf-8")) for p in paths]
        if scores:
            keys = {"none": "none", "kd": "teacher", "takd": "assistant", "relabelled": "relabelled"}
            rows.append({"items": f"zoo/{name}", **{k: [s[v] for s in scores] for k, v in keys.items()}})
    return rows


def format_meeting(rows: Sequence[dict[str, Any]]) -> str:
    """Accuracies in percent, mean over runs."""

    def format_mean(row: dict[str, Any], key: str) -> str:
        return f"{100 * statistics.fmean(row[key]):.1f}" if key in row else "-"

    head = ["trained on", "no teacher", "KD", "TAKD", "only the teacher's labels", "runs"]
    keys = ("none", "kd", "takd", "relabelled")
    return markdown(
        head, [[r["items"], *(format_mean(r, k) for k in keys), str(len(r["none"]))] for r in rows]
    )
