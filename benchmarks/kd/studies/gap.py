"""The gap (Mirzadeh et al. 2020): the student's score by the size of its teacher, and assistants.

From the runs of the recipe takd: kd-gap.json, kd-gap.md and docs/assets/kd-gap.png.
"""

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine
from benchmarks.cases import markdown
from benchmarks.kd import SEEDS
from benchmarks.kd.intervals import bootstrap
from benchmarks.kd.runs import stack_correct
from benchmarks.kd.tables import describe_interval, format_difference, format_verdict
from distill.sets.storage import write_text

RECIPE, LARGEST = "takd", "kd64"
PICTURE = Path(__file__).parents[3] / "docs" / "assets" / "kd-gap.png"
WIDTHS, ASSISTANTS = (4, 8, 16, 32, 64), (8, 16, 32)
STUDENTS = {
    "plain": "no teacher",
    **{f"kd{w}": f"a teacher of {w} filters" for w in WIDTHS},
    **{f"hard{w}": f"a teacher of {w} filters, τ = 1" for w in WIDTHS},
    **{f"ta{w}": f"64 filters, then an assistant of {w}" for w in ASSISTANTS},
    "chain2": "64, then 32, then 16", "chain3": "64, then 32, then 16, then 8",
}  # fmt: skip
TEACHERS = (
    {f"kd{w}": f"t{w}" for w in WIDTHS}
    | {f"hard{w}": f"t{w}" for w in WIDTHS}
    | {f"ta{w}": f"a{w}" for w in ASSISTANTS}
    | {"chain2": "b16", "chain3": "c8"}
)


def build_rows(root: Path) -> list[dict[str, Any]]:
    """For each student: its score, its teacher's, and its difference from that of the largest teacher."""
    largest = stack_correct(root, RECIPE, LARGEST)
    rows = []
    for name in STUDENTS if largest is not None else ():
        student = stack_correct(root, RECIPE, name)
        teacher = stack_correct(root, RECIPE, TEACHERS.get(name, ""))
        assert student is not None
        assert largest is not None
        row = {"student": name, "score": student.mean(axis=1).round(5).tolist()}
        if teacher is not None:
            row["teacher"] = teacher.mean(axis=1).round(5).tolist()
        if name != LARGEST:
            row["over the largest"] = describe_interval(bootstrap(student - largest))
        rows.append(row)
    return rows


def format_rows(rows: list[dict[str, Any]]) -> str:
    """Scores in percent, differences in points."""
    head = [
        "the student's teacher",
        "teacher, %",
        "student, %",
        "over the one of 64 filters",
        "verdict",
        "seeds",
    ]
    lines = []
    for row in rows:
        d = row.get("over the largest")
        teacher = f"{100 * np.mean(row['teacher']):.1f}" if "teacher" in row else "-"
        student, seeds = f"{100 * np.mean(row['score']):.1f}", str(len(row["score"]))
        cells = [format_difference(d), format_verdict(d)] if d else ["-", "-"]
        lines.append([STUDENTS[row["student"]], teacher, student, *cells, seeds])
    return markdown(head, lines)


def write_study(root: Path) -> None:
    """benchmarks/results/kd-gap.json and .md and the picture, where the recipe was run with ten seeds."""
    rows = build_rows(root)
    if rows and len(rows[0]["score"]) >= SEEDS:
        path = machine.write_results("kd-gap", "make bench-kd", {"rows": rows})
        write_text(path.with_suffix(".md"), format_rows(rows) + "\n")
        draw_picture({row["student"]: row for row in rows})
        print(format_rows(rows))


def draw_picture(rows: dict[str, dict[str, Any]]) -> None:
    """Scores by the teacher's width; bars are standard errors over seeds."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.3), layout="constrained")
    for axis, names, label in (
        (axes[0], [f"kd{w}" for w in WIDTHS], "student of the teacher"),
        (axes[0], [f"hard{w}" for w in WIDTHS], "the same, τ = 1"),
        (axes[0], [f"ta{w}" for w in ASSISTANTS], "student of an assistant of that width"),
    ):
        widths = [int(name.lstrip("kdhart")) for name in names]
        scores = np.array([rows[name]["score"] for name in names])
        axis.errorbar(
            widths, 100 * scores.mean(1), 100 * scores.std(1) / len(scores[0]) ** 0.5, fmt="o-", label=label
        )
    axes[0].axhline(100 * np.mean(rows["plain"]["score"]), color="grey", linestyle="--", label="no teacher")
    axes[1].plot(WIDTHS, [100 * np.mean(rows[f"kd{w}"]["teacher"]) for w in WIDTHS], "o-", label="teacher")
    axes[1].plot(
        ASSISTANTS, [100 * np.mean(rows[f"ta{w}"]["teacher"]) for w in ASSISTANTS], "o-", label="assistant"
    )
    for axis, title in zip(axes, ("the students", "their teachers"), strict=True):
        axis.set(xscale="log", xlabel="filters of the teacher", ylabel="test accuracy, %", title=title)
        axis.set_xticks(WIDTHS, [str(w) for w in WIDTHS])
        axis.set_xticks([], minor=True)
        axis.legend(frameon=False, fontsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(PICTURE, dpi=110)
    plt.close(figure)
