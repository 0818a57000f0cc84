"""The weights of layers that DFA's search found (Guan et al. 2020, section 3.3), over seeds.

From the files alphas.json of the runs of the recipe dfa: kd-alphas.json, kd-alphas.md and
docs/assets/kd-alphas.png.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.cases import markdown
from benchmarks.kd.runs import find_files
from benchmarks.kd.studies import ASSETS, load_pyplot, write_study

RECIPE, TEACHER = "dfa", "teacher"


def load_groups(root: Path, recipe: str = RECIPE) -> list[dict[str, Any]]:
    """By group of the search: the student's module, the teacher's, and their shares (seeds, layers)."""
    paths = find_files(root, recipe, "alphas.json")
    runs = [json.loads(path.read_text(encoding="utf-8"))[TEACHER] for path in paths]
    groups = []
    for group in runs[0] if runs else ():
        tap, _, layers = group.partition(" <- ")
        groups.append({"tap": tap, "layers": layers.split(), "shares": [run[group] for run in runs]})
    return groups


def format_groups(groups: Sequence[dict[str, Any]]) -> str:
    """A line for each layer: the mean of its shares and their range."""
    lines = []
    for k, group in enumerate(groups, 1):
        shares = np.array(group["shares"])
        even, first = 1 / shares.shape[1], shares.argmax(axis=1)
        for j, layer in enumerate(group["layers"]):
            column = shares[:, j]
            wins = f"{int((first == j).sum())} of {len(shares)}"
            cells = [f"{column.mean():.3f}", f"{column.min():.3f} … {column.max():.3f}", f"{even:.3f}", wins]
            lines.append([f"{k}, `{group['tap']}`", f"block {j + 1}, `{layer}`", *cells])
    head = [
        "group, the student's block",
        "the teacher's",
        "mean share",
        "least … most",
        "even",
        "largest in seeds",
    ]
    return markdown(head, lines)


def write_alphas(root: Path) -> None:
    """The table and the picture, where the recipe was run with ten seeds."""
    if not (groups := load_groups(root)):
        return
    text = (
        format_groups(groups) + "\n\n![The searched weights by group, layer and seed](assets/kd-alphas.png)"
    )
    if write_study("alphas", len(groups[0]["shares"]), {"groups": groups}, text):
        draw_alphas(groups, ASSETS / "kd-alphas.png")


def draw_alphas(groups: Sequence[dict[str, Any]], path: Path) -> None:
    """One panel for each group: bars are means over seeds, points are the seeds."""
    plt = load_pyplot()
    figure, axes = plt.subplots(
        1, len(groups), figsize=(3.2 * len(groups), 3), layout="constrained", sharey=True, squeeze=False
    )
    for k, (axis, group) in enumerate(zip(axes[0], groups, strict=True), 1):
        draw_group(axis, np.array(group["shares"]))
        axis.set(title=f"group {k}", xlabel="block of the teacher")
    axes[0][0].set_ylabel("share, softmax(α)")
    axes[0][0].legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def draw_group(axis: Any, shares: NDArray[np.float64]) -> None:
    """The shares (seeds, layers) of a group."""
    seeds, layers = shares.shape
    places = np.arange(1, layers + 1)
    axis.bar(places, shares.mean(axis=0), color="lightsteelblue", label="mean")
    spread = np.linspace(-0.2, 0.2, seeds)[:, None] + places
    axis.plot(spread.ravel(), shares.ravel(), ".", color="darkslateblue", label="a seed")
    axis.axhline(1 / layers, color="grey", linestyle="--", label="even")
    axis.set_xticks(places)
    axis.spines[["top", "right"]].set_visible(False)
