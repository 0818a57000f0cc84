"""The gap (Mirzadeh et al. 2020): the student's score by the size of its teacher, and assistants.

From the runs of takd (teachers by width), takd-depth and takd-resnet (by depth): kd-gap.json, kd-gap.md,
kd-gap.png, and the same of kd-gap-depth and kd-gap-resnet.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cases import markdown
from benchmarks.kd.intervals import bootstrap
from benchmarks.kd.runs import stack_correct
from benchmarks.kd.studies import ASSETS, load_pyplot, write_study
from benchmarks.kd.tables import describe_interval, format_difference, format_verdict


@dataclass(frozen=True)
class Gap:
    """A recipe whose student kdN learns from the teacher tN, and taN from the assistant aN of the largest.

    unit: what the sizes N count. chains: of a student of several assistants, the last of these, and their
    sizes from the largest teacher on.
    """

    name: str
    recipe: str
    unit: str
    sizes: tuple[int, ...]
    assistants: tuple[int, ...]
    chains: Mapping[str, tuple[str, tuple[int, ...]]]

    @property
    def largest(self) -> str:
        """The student of the largest teacher."""
        return f"kd{self.sizes[-1]}"

    @property
    def students(self) -> dict[str, str]:
        """Each student, and whom it learns from, in words."""
        return {
            "plain": "no teacher",
            **{f"kd{n}": f"a teacher of {n} {self.unit}" for n in self.sizes},
            **{f"hard{n}": f"a teacher of {n} {self.unit}, τ = 1" for n in self.sizes},
            **{f"ta{n}": f"{self.sizes[-1]} {self.unit}, then an assistant of {n}" for n in self.assistants},
            **{name: ", then ".join(map(str, sizes)) for name, (_, sizes) in self.chains.items()},
        }

    @property
    def teachers(self) -> dict[str, str]:
        """The network that each student learns from, but for the plain one."""
        return (
            {f"{word}{n}": f"t{n}" for word in ("kd", "hard") for n in self.sizes}
            | {f"ta{n}": f"a{n}" for n in self.assistants}
            | {name: last for name, (last, _) in self.chains.items()}
        )


GAPS = (
    Gap("gap", "takd", "filters", (4, 8, 16, 32, 64), (8, 16, 32),
        {"chain2": ("b16", (64, 32, 16)), "chain3": ("c8", (64, 32, 16, 8))}),
    Gap("gap-depth", "takd-depth", "layers", (4, 6, 8, 10), (4, 6, 8),
        {"chain2": ("b6", (10, 8, 6)), "chain3": ("c4", (10, 8, 6, 4))}),
    Gap("gap-resnet", "takd-resnet", "layers", (14, 20, 26), (14, 20), {"chain2": ("b14", (26, 20, 14))}),
)  # fmt: skip


def build_rows(root: Path, gap: Gap) -> list[dict[str, Any]]:
    """For each student: its score, its teacher's, and its difference from that of the largest teacher."""
    largest = stack_correct(root, gap.recipe, gap.largest)
    rows = []
    for name in gap.students if largest is not None else ():
        student = stack_correct(root, gap.recipe, name)
        teacher = stack_correct(root, gap.recipe, gap.teachers.get(name, ""))
        assert student is not None
        assert largest is not None
        row = {"student": name, "score": student.mean(axis=1).round(5).tolist()}
        if teacher is not None:
            row["teacher"] = teacher.mean(axis=1).round(5).tolist()
        if name != gap.largest:
            row["over the largest"] = describe_interval(bootstrap(student - largest))
        rows.append(row)
    return rows


def format_rows(rows: list[dict[str, Any]], gap: Gap) -> str:
    """Scores in percent, differences in points."""
    over = f"over the one of {gap.sizes[-1]} {gap.unit}"
    head = ["the student's teacher", "teacher, %", "student, %", over, "verdict", "seeds"]
    lines = []
    for row in rows:
        d = row.get("over the largest")
        teacher = f"{100 * np.mean(row['teacher']):.1f}" if "teacher" in row else "-"
        student, seeds = f"{100 * np.mean(row['score']):.1f}", str(len(row["score"]))
        cells = [format_difference(d), format_verdict(d)] if d else ["-", "-"]
        lines.append([gap.students[row["student"]], teacher, student, *cells, seeds])
    return markdown(head, lines)


def write_gaps(root: Path) -> None:
    """For each recipe that was run: benchmarks/results/kd-gap….json and .md, and the picture."""
    for gap in GAPS:
        rows = build_rows(root, gap)
        seeds = len(rows[0]["score"]) if rows else 0
        if write_study(gap.name, seeds, {"rows": rows}, format_rows(rows, gap)):
            draw_picture({row["student"]: row for row in rows}, gap)


def draw_picture(rows: dict[str, dict[str, Any]], gap: Gap) -> None:
    """Scores by the teacher's size, students on the left, their teachers on the right."""
    plt = load_pyplot()
    figure, axes = plt.subplots(1, 2, figsize=(9, 3.3), layout="constrained")
    for word, sizes, label in (
        ("kd", gap.sizes, "student of the teacher"),
        ("hard", gap.sizes, "the same, τ = 1"),
        ("ta", gap.assistants, "student of an assistant of that size"),
    ):
        draw_curve(axes[0], sizes, [rows[f"{word}{n}"]["score"] for n in sizes], label)
    axes[0].axhline(100 * np.mean(rows["plain"]["score"]), color="grey", linestyle="--", label="no teacher")
    for word, sizes, label in (("kd", gap.sizes, "teacher"), ("ta", gap.assistants, "assistant")):
        draw_curve(axes[1], sizes, [rows[f"{word}{n}"]["teacher"] for n in sizes], label)
    for axis, title in zip(axes, ("the students", "their teachers"), strict=True):
        axis.set(xscale="log", xlabel=f"{gap.unit} of the teacher", ylabel="test accuracy, %", title=title)
        axis.set_xticks(gap.sizes, [str(n) for n in gap.sizes])
        axis.set_xticks([], minor=True)
        axis.legend(frameon=False, fontsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(ASSETS / f"kd-{gap.name}.png", dpi=110)
    plt.close(figure)


def draw_curve(axis: Any, sizes: tuple[int, ...], scores: list[list[float]], label: str) -> None:
    """Mean scores in percent by size; bars are standard errors over seeds."""
    values = 100 * np.array(scores)
    axis.errorbar(sizes, values.mean(1), values.std(1) / values.shape[1] ** 0.5, fmt="o-", label=label)
