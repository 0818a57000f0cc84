"""Accuracy of 1 to 20 distilled MNIST images, soft and hard labels, three seeds, and the baselines.

`python -m benchmarks.mnist` runs every case that has no set yet, `--jobs` at a time with one thread each,
and writes benchmarks/results/mnist.json and a table from its sets. A case with a set is skipped,
so that a stopped benchmark continues; an interrupted case is resumed.
"""

from pathlib import Path
from typing import Any

from benchmarks.cases import Case, benchmark, folder, make_parser, markdown
from distill.sets.distilled import DistilledSet
from distill.student.scores import Report


def cases(seeds: tuple[int, ...]) -> list[Case]:
    """The rows that the README quotes; labels as the papers compare them; the sweep over n, in short."""
    full = [Case(f"n = {n}, {labels}", ("--n", str(n), "--labels", labels), seeds) for n, labels in QUOTED]
    random = Case("n = 100, soft, random", ("--n", "100", "--init", "random", "--method", "unroll"), (0,))
    published = [
        Case(f"n = 10, {labels}, as published", ("--n", "10", "--labels", labels, *PUBLISHED), seeds)
        for labels in ("soft", "hard")
    ]
    short = ("--outer-steps", "1000")
    sweep = [
        Case(f"n = {n}, {labels}, short", ("--n", str(n), "--labels", labels, *short), seeds)
        for n in (1, 2, 5, 10, 20)
        for labels in ("soft", "hard")
    ]
    return [*full, random, *published, *sweep]


PUBLISHED = (
    "--weight-init",
    "xavier",
    "--inner-steps",
    "3",
    "--lr-per",
    "step",
)  # the papers' inner training
SETTINGS = ("weight_init", "inner_steps", "lr_per", "outer_batch")
QUOTED = [(5, "soft"), (10, "soft"), (10, "hard")]


def row(root: Path, case: Case) -> dict[str, Any] | None:
    """A case's scores over its seeds, read from its sets; None where none is done."""
    done = [s for s in case.seeds if (folder(root, case, s) / "set.pt").exists()]
    if not done:
        return None
    sets = [DistilledSet.load(folder(root, case, s) / "set.pt") for s in done]
    scores = tuple(data.scores["accuracy"]["mean"] for data in sets)
    random = [data.scores["baselines"]["random-real"] for data in sets]
    return {
        "case": case.name,
        "command": f"python -m distill.mnist {' '.join(case.arguments)}",
        "seeds": done,
        "accuracy": Report(case.name, scores).summary(),
        "accuracies": scores,
        "median": sorted(scores)[len(scores) // 2],
        "networks_per_set": sets[0].scores["accuracy"]["n"],
        "std_over_networks": sets[0].scores["accuracy"]["std"],
        "random_real": Report("random", tuple(r["mean"] for r in random)).summary(),
        "full_data": Report("full", tuple(data.scores["full_data"] for data in sets)).summary(),
        "seconds": [round(data.provenance["seconds"], 1) for data in sets],
        "outer_steps": sets[0].provenance["outer_steps"],
        "created": sets[0].provenance["created"],
        "settings": {k: sets[0].provenance["config"][k] for k in SETTINGS},
    }


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as a Markdown table."""
    head = ["case", "test accuracy", "per seed", "random real images", "all real images", "seconds each"]
    return markdown(head, [cells(r) for r in rows])


def cells(r: dict[str, Any]) -> list[str]:
    a = r["accuracy"] if r["accuracy"]["n"] > 1 else {**r["accuracy"], "std": r["std_over_networks"]}
    return [
        r["case"],
        f"{100 * a['mean']:.2f} ± {100 * a['std']:.2f} %",
        ", ".join(f"{100 * x:.2f}" for x in r["accuracies"]),
        f"{100 * r['random_real']['mean']:.1f} %",
        f"{100 * r['full_data']['mean']:.1f} %",
        f"{max(r['seconds']):.0f}",
    ]


def main() -> None:
    """The command."""
    parser = make_parser(__doc__, "mnist")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    benchmark("mnist", cases(tuple(options.seeds)), options, row, table)


if __name__ == "__main__":
    main()
