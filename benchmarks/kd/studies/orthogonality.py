"""Distillation beside other techniques (Park et al. 2020), from runs of the recipes orthogonality….

What a practitioner asks is KD's gain given the technique. An interaction (the gain of both beyond the sum of
both gains) says something only where the technique itself moves the score, and is left out elsewhere.

Bagging is looked at as Park et al. do, by bias and variance. Each seed has training items of its own, so that
the seeds are resamples. For classes, not probabilities, the main answer to an item is the seeds' most
frequent one; the bias is 1 where it is wrong, the variance is the share of seeds that answer otherwise
(Domingos 2000, "A unified bias-variance decomposition", section 2).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks import machine
from benchmarks.cases import markdown
from benchmarks.kd import SEEDS
from benchmarks.kd.intervals import bootstrap
from benchmarks.kd.runs import load_predictions, stack_correct
from benchmarks.kd.tables import describe_interval, format_difference, format_verdict
from distill.sets.storage import write_text

RECIPE = "orthogonality"
TECHNIQUES = {
    "mixup": "mixup", "smoothing": "label smoothing", "augment": "augmentation", "prune": "pruning, a half",
    "int8": "eight bits", "separable": "separable convolutions",
    "wide": "searched width and depth (twice the width)",
}  # fmt: skip
OWN_RECIPES = {"qat": "orthogonality-qat"}  # of techniques that stand in a recipe of their own
NAMES = TECHNIQUES | {"qat": "eight bits, quantisation-aware training"}
Classes = NDArray[np.int64]


def build_techniques(root: Path) -> list[dict[str, Any]]:
    """For each technique: its gain, KD's gain given it, and the interaction where it says something."""
    recipes = dict.fromkeys(TECHNIQUES, RECIPE) | OWN_RECIPES
    rows = [build_technique(root, recipe, name) for name, recipe in recipes.items()]
    return [row for row in rows if row]


def build_technique(root: Path, recipe: str, name: str) -> dict[str, Any] | None:
    """The row of a technique from the runs of its recipe; None where there are none."""
    alone, both, plain, kd = (stack_correct(root, recipe, key) for key in (name, f"{name}-kd", "plain", "kd"))
    if alone is None or both is None or plain is None or kd is None:
        return None
    technique = describe_interval(bootstrap(alone - plain))
    row = {"technique": name, "alone": technique, "given": describe_interval(bootstrap(both - alone))}
    if technique["verdict"] in ("shown", "opposite"):
        row["interaction"] = describe_interval(bootstrap(both - alone - kd + plain))
    return row | {"kd": describe_interval(bootstrap(kd - plain))}


def format_techniques(rows: list[dict[str, Any]]) -> str:
    """Gains in points."""
    head = ["technique", "its gain alone", "KD's gain given it", "verdict", "interaction", "verdict"]
    first = [["none", "-", format_difference(rows[0]["kd"]), format_verdict(rows[0]["kd"]), "-", "-"]]
    lines = []
    for row in rows:
        interaction = row.get("interaction")
        cells = (
            [format_difference(interaction), describe_interaction(interaction)] if interaction else ["-", "-"]
        )
        given = [format_difference(row["given"]), format_verdict(row["given"])]
        lines.append([NAMES[row["technique"]], format_difference(row["alone"]), *given, *cells])
    return markdown(head, first + lines)


def describe_interaction(interaction: Mapping[str, Any]) -> str:
    """Whether both together are more or less than the sum of both."""
    words = {
        "shown": "more than the sum",
        "opposite": "less than the sum",
        "not shown": "no interaction shown",
    }
    return words.get(interaction["verdict"], "undecided")


def split_error(classes: Classes, labels: Classes) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """(bias, variance) per item of the classes (seeds, items) that networks answer (Domingos 2000)."""
    counts = np.stack([(classes == k).sum(axis=0) for k in range(int(max(classes.max(), labels.max())) + 1)])
    main = counts.argmax(axis=0)
    variance: NDArray[np.float64] = (classes != main).mean(axis=0)
    return main != labels, variance


def build_bagging(root: Path) -> list[dict[str, Any]]:
    """Error, bias and variance of students, and how often they agree with the bagged mean."""
    runs = load_predictions(root, RECIPE)
    rows = []
    for name in ("plain", "bag1", "bagging", "bagging-kd", "kd") if runs else ():
        classes, mean = (np.stack([run[key] for run in runs]) for key in (name, "bagging"))
        bias, variance = split_error(classes, runs[0]["labels"])
        wrong, agreement = classes != runs[0]["labels"], classes == mean
        shares = {"error": wrong, "bias": bias, "variance": variance, "agreement": agreement}
        row: dict[str, Any] = {key: float(share.mean()) for key, share in shares.items()}
        rows.append(row | {"network": name, "seeds": len(runs)})
    return rows


NETWORKS = {
    "plain": "plain", "bag1": "one of a bootstrap sample", "bagging": "the mean of three of these",
    "bagging-kd": "one student of that mean", "kd": "one student of the teacher",
}  # fmt: skip


def format_bagging(rows: list[dict[str, Any]]) -> str:
    """Shares in percent."""
    head = ["networks", "error, %", "bias, %", "variance, %", "agrees with the bagged mean, %", "seeds"]
    keys = ("error", "bias", "variance", "agreement")
    return markdown(
        head,
        [[NETWORKS[r["network"]], *(f"{100 * r[k]:.1f}" for k in keys), str(r["seeds"])] for r in rows],
    )


def write_study(root: Path) -> None:
    """benchmarks/results/kd-orthogonality.json and .md, where the recipe was run with ten seeds."""
    techniques = [row for row in build_techniques(root) if row["alone"]["seeds"] >= SEEDS]
    bagging = build_bagging(root)
    if techniques and bagging and bagging[0]["seeds"] >= SEEDS:
        content = {"techniques": techniques, "bagging": bagging}
        path = machine.write_results("kd-orthogonality", "make bench-kd", content)
        text = f"{format_techniques(techniques)}\n\n{format_bagging(bagging)}"
        write_text(path.with_suffix(".md"), text + "\n")
        print(text)
