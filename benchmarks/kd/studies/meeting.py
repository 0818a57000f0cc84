"""Distillation meets distilled sets: teachers beside real images and beside sets of the zoo.

`python -m benchmarks.kd.studies.meeting` runs the recipe meeting, and students of sets of the zoo with the
teachers of each run, and writes benchmarks/results/kd-meeting.json and .md. The students of 600 images have a
privileged teacher, that of all 60,000.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.cases import markdown
from benchmarks.kd import RECIPES
from benchmarks.kd.runs import Job
from distill.sets.storage import write_text

ZOO = Path(__file__).parents[3] / "zoo"
SETS = ("mnist-10.pt", "mnist-5.pt", "mnist-10-random.pt")


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


def main() -> None:
    """Run what is missing and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("runs/bench-kd"))
    options = parser.parse_args()
    for seed in range(options.seeds):
        folder = Job("meeting", seed).folder(options.out)
        if not (folder / "scores.json").exists():
            arguments = ["--set", f"seed={seed}", "--out", str(folder), "--overwrite"]
            line = [sys.executable, "-m", "distill", "teach", str(RECIPES / "meeting.yaml"), *arguments]
            subprocess.run(line, check=True)
    for name in SETS:
        score_teachers(options.out, name)
    rows = build_meeting(options.out)
    path = machine.write_results("kd-meeting", "python -m benchmarks.kd.studies.meeting", {"rows": rows})
    write_text(path.with_suffix(".md"), format_meeting(rows) + "\n")
    print(format_meeting(rows))


if __name__ == "__main__":
    main()
