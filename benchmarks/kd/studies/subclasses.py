"""Subclass distillation beyond its rows (Müller, Kornblith and Hinton 2020): what is found, and how fast.

From the runs of the recipes subclass and subclass-table: kd-subclasses.json, kd-subclasses.md and
docs/assets/kd-subclasses.png. Networks are told two classes. How well they find the digits or clusters that
the classes are made of is the share of test items that the best one-to-one naming of subclasses gets right.
Whether a student learns faster is judged by its accuracy on the test items, on average over its epochs.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.cases import markdown
from benchmarks.kd.intervals import bootstrap
from benchmarks.kd.runs import find_files, load_scores
from benchmarks.kd.studies import ASSETS, load_pyplot, write_study
from benchmarks.kd.tables import describe_interval, format_difference, format_verdict

DATA = {"subclass": "MNIST, ten digits", "subclass-table": "table, 16 clusters"}
NETWORKS = {
    "own": "its own loss", "information": "mutual information", "none": "neither",
}  # fmt: skip
STUDENTS = {"plain": "no teacher", "kd": "plain distillation", **NETWORKS}
MARKS = (1, 2, 5, 10, 20, 40)  # the epochs in the table
Curves = dict[str, NDArray[np.float64]]  # by student: (seeds, epochs, items), 1 where it is right


def build_found(root: Path, recipe: str) -> list[dict[str, Any]]:
    """For each loss: the shares of classes and of subclasses that teacher and student find, by seed."""
    runs = [run["networks"] for run in load_scores(root, recipe)]
    return [
        {"recipe": recipe, "loss": name}
        | {
            f"{who} {key}": [run[network][key] for run in runs]
            for who, network in (("teacher", f"teacher-{name}"), ("student", name))
            for key in ("accuracy", "clusters")
        }
        for name in (NETWORKS if runs else ())
    ]


def load_curves(root: Path, recipe: str) -> Curves:
    """The curves of a recipe's runs that kept them."""
    files = [np.load(path) for path in find_files(root, recipe, "curves.npz")]
    return {name: np.stack([file[name] for file in files]).astype(np.float64) for name in STUDENTS if files}


def build_speed(recipe: str, curves: Curves) -> list[dict[str, Any]]:
    """For each student: its curve, when it is where plain distillation ends, and its mean over kd's."""
    last, rows = curves["kd"].mean(axis=2)[:, -1], []
    for name, right in curves.items():
        accuracy = right.mean(axis=2)
        row: dict[str, Any] = {"recipe": recipe, "student": name}
        row |= {"curves": accuracy.round(5).tolist(), "epochs": find_epochs(accuracy, last)}
        if name != "kd":
            row["over kd"] = describe_interval(bootstrap((right - curves["kd"]).mean(axis=1)))
        rows.append(row)
    return rows


def find_epochs(accuracy: NDArray[np.float64], goal: NDArray[np.float64]) -> list[int | None]:
    """For each seed, the first epoch after which the accuracy (seeds, epochs) is at the goal; None: never."""
    reached = accuracy >= goal[:, None]
    return [int(row.argmax()) + 1 if row.any() else None for row in reached]


def format_found(rows: list[dict[str, Any]]) -> str:
    """Shares in percent, mean ± standard deviation over seeds."""

    def format_share(shares: list[float]) -> str:
        return f"{100 * np.mean(shares):.1f} ± {100 * np.std(shares, ddof=1):.1f}" if shares[1:] else "-"

    columns = [f"{who} {key}" for key in ("clusters", "accuracy") for who in ("teacher", "student")]
    head = ["data", "the teacher's loss beside the labels", "teacher finds, %", "student finds, %",
            "teacher, two classes, %", "student, %", "seeds"]  # fmt: skip
    return markdown(head, [
        [DATA[r["recipe"]], NETWORKS[r["loss"]], *(format_share(r[c]) for c in columns),
         str(len(r["student accuracy"]))]
        for r in rows
    ])  # fmt: skip


def format_speed(rows: list[dict[str, Any]]) -> str:
    """Accuracies in percent after some epochs; the median epoch in which a student is where kd ends."""
    lines = []
    for row in rows:
        curve, d = 100 * np.array(row["curves"]).mean(axis=0), row.get("over kd")
        marks = [f"{curve[k - 1]:.1f}" if k <= len(curve) else "-" for k in MARKS]
        cells = [format_difference(d), format_verdict(d)] if d else ["-", "-"]
        lines.append(
            [DATA[row["recipe"]], STUDENTS[row["student"]], *marks, format_epochs(row["epochs"]), *cells]
        )
    head = ["data", "student", *(f"after {k}, %" for k in MARKS), "epochs until distillation's last score",
            "mean over the epochs, over distillation", "verdict"]  # fmt: skip
    return markdown(head, lines)


def format_epochs(epochs: list[int | None]) -> str:
    """The median over seeds, and how many seeds come so far."""
    reached = sum(epoch is not None for epoch in epochs)
    median = float(np.median([np.inf if epoch is None else epoch for epoch in epochs]))
    return f"{'never' if np.isinf(median) else f'{median:g}'} ({reached} of {len(epochs)})"


def write_subclasses(root: Path) -> None:
    """The tables and the picture, where both recipes were run with ten seeds."""
    curves = {recipe: load_curves(root, recipe) for recipe in DATA}
    if not all(curves.values()):
        return
    found = [row for recipe in DATA for row in build_found(root, recipe)]
    speed = [row for recipe in DATA for row in build_speed(recipe, curves[recipe])]
    picture = "![Accuracy by epoch](assets/kd-subclasses.png)"
    text = "\n\n".join([format_found(found), format_speed(speed), picture])
    seeds = min(len(c["kd"]) for c in curves.values())
    if write_study("subclasses", seeds, {"found": found, "speed": speed}, text):
        draw_curves(curves, ASSETS / "kd-subclasses.png")


def draw_curves(curves: Mapping[str, Curves], path: Path) -> None:
    """A panel for each recipe: mean accuracy by epoch, with a band of standard errors over seeds."""
    plt = load_pyplot()
    figure, axes = plt.subplots(1, len(curves), figsize=(5 * len(curves), 3.3), layout="constrained")
    for axis, (recipe, by_student) in zip(axes, curves.items(), strict=True):
        for name, right in by_student.items():
            accuracy = 100 * right.mean(axis=2)
            mean, epochs = accuracy.mean(axis=0), np.arange(1, accuracy.shape[1] + 1)
            error = accuracy.std(axis=0, ddof=1) / len(accuracy) ** 0.5
            axis.plot(epochs, mean, label=STUDENTS[name])
            axis.fill_between(epochs, mean - error, mean + error, alpha=0.2)
        axis.set(title=DATA[recipe], xlabel="epoch", ylabel="test accuracy, %")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)
