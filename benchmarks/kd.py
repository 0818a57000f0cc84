"""Knowledge distillation: every system of benchmarks/kd/ beside what it is meant to improve on.

`python -m benchmarks.kd` runs each recipe with each seed (`--only takd` one of them; `--usps FILE` adds
the domain adaptation), goes on where it stopped, and writes benchmarks/results/kd.json and kd.md. Within
a run all networks see the same data and students start alike, so differences are taken run by run.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import kd_sets, machine
from benchmarks.cases import markdown

RECIPES = Path(__file__).parent / "kd"
# Student's t at 97.5 % by degrees of freedom
T = {1: 12.71, 2: 4.30, 3: 3.18, 4: 2.78, 5: 2.57, 6: 2.45, 7: 2.36, 8: 2.31, 9: 2.26, 14: 2.14, 19: 2.09}


CLOSE = {"takd": 10, "prokt": 10}  # seeds of recipes whose differences are small


@dataclass(frozen=True)
class System:
    """One row: whose score is compared with whose, in which recipe."""

    name: str
    recipe: str
    over: str  # the network that it is meant to improve on
    authors: str
    student: str = "student"
    score: str = "accuracy"
    plain: str = "plain"
    kd: str = "kd"


SYSTEMS = [
    System("knowledge distillation", "kd", "plain", "MNIST, 146 errors to 74 (Hinton 2015)"),
    System("teacher assistant", "takd", "kd", "CIFAR-10, +0.94 (Mirzadeh 2019)"),
    System("subclass distillation, 1,000 labels", "subclass", "kd", "gains with few labels (Müller 2020)"),
    System("- digits found", "subclass", "chance", "-", score="clusters"),
    System("weighted soft labels", "wsl", "kd", "ImageNet, ResNet-18 69.75 to 72.04 (Zhou 2021)"),
    System("route-constrained", "rco", "kd", "CIFAR-100, +2.14 (Jin 2019)"),
    System("ProKT, images", "prokt", "kd", "better than KD (Shi 2021)"),
    System("ProKT, text", "prokt-text", "kd", "better than KD (Shi 2021)"),
    System("joint KD and UDA, MNIST → USPS", "uda", "plain", "best on Office31 (2020)", score="target"),
    System("- over UDA of the student alone", "uda", "alone", "-", score="target"),
    System("feature aggregation (DFA)", "dfa", "last", "CIFAR-100, better than its rivals (Guan 2020)"),
    System("FitNets hint, then KD (feature)", "survey", "kd", "better than KD (Romero 2015)", student="hint"),
    System("attention transfer (feature)", "survey", "plain", "-", student="attention"),
    System("RKD (relation, offline)", "survey", "plain", "-", student="relation"),
    System("deep mutual learning (online)", "survey", "plain", "-", student="mutual"),
    System("born-again (self)", "survey", "plain", "-", student="again"),
]


def run_recipe(root: Path, recipe: str, seed: int, changes: Sequence[str]) -> None:
    """One run as a user would start it, its output in a log; nothing where it is done."""
    out = root / f"{recipe}-s{seed}"
    if (out / "scores.json").exists():
        return
    arguments = ["--set", f"seed={seed}", *changes, "--out", str(out)]
    line = [sys.executable, "-m", "distill", "teach", str(RECIPES / f"{recipe}.yaml"), *arguments]
    with open(out.with_suffix(".log"), "w") as log:
        code = subprocess.run(line, stdout=log, stderr=subprocess.STDOUT, check=False).returncode
    if code:
        print(f"{out.name}: failed, see {log.name}", flush=True)


def run_all(root: Path, pairs: list[tuple[str, int]], changes: dict[str, list[str]], jobs: int) -> None:
    """All runs, with the time that is left by the mean of those that are done."""
    start, count = time.monotonic(), 0

    def run_pair(pair: tuple[str, int]) -> None:
        nonlocal count
        run_recipe(root, *pair, changes.get(pair[0], []))
        count += 1
        left = (time.monotonic() - start) / count * (len(pairs) - count)
        print(f"{pair[0]}, seed {pair[1]}: {count} of {len(pairs)}, {left / 60:.0f} min left", flush=True)

    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(run_pair, pairs))


def load_runs(root: Path, recipe: str) -> list[dict[str, Any]]:
    """The scores of a recipe's runs, by seed."""
    paths = sorted(root.glob(f"{recipe}-s*/scores.json"), key=lambda p: int(p.parent.name.split("-s")[-1]))
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The mean and half of its 95 % confidence interval, by Student's t."""
    n = len(values)
    if n < 2:
        return values[0], float("inf")
    t = T[max(k for k in T if k <= n - 1)]
    return statistics.fmean(values), t * statistics.stdev(values) / n**0.5


def verdict(mean: float, half: float) -> str:
    return "shown" if mean > half else "opposite" if -mean > half else "not shown"


def build_row(root: Path, system: System) -> dict[str, Any] | None:
    """A system's scores by seed and the interval of its difference; None where nothing was run."""
    runs = load_runs(root, system.recipe)
    if not runs:
        return None

    def load_scores(name: str) -> list[float] | None:
        if name == "chance":
            return [0.2] * len(runs)  # a class has five subclasses
        scores = [run["networks"].get(name, {}).get(system.score) for run in runs]
        return None if None in scores else scores

    student, over = load_scores(system.student), load_scores(system.over)
    assert student is not None
    assert over is not None
    mean, half = interval([a - b for a, b in zip(student, over, strict=True)])
    description = {
        "system": system.name,
        "recipe": system.recipe,
        "over": system.over,
        "authors": system.authors,
    }
    plain, kd = load_scores(system.plain), load_scores(system.kd)
    scores = {"plain": plain, "kd": kd, "student": student, "over_scores": over}
    seconds = statistics.fmean(run["seconds"] for run in runs)
    difference = {"mean": mean, "half": half, "n": len(runs), "verdict": verdict(mean, half)}
    return description | scores | {"difference": difference, "seconds": round(seconds, 1)}


def format_rows(rows: list[dict[str, Any]]) -> str:
    """The rows as a Markdown table."""

    def format_mean(scores: list[float] | None) -> str:
        return "-" if scores is None else f"{100 * statistics.fmean(scores):.1f}"

    head = [
        "system",
        "no teacher",
        "KD",
        "system, %",
        "improves on",
        "difference",
        "runs",
        "authors",
        "verdict",
    ]
    lines = []
    for r in rows:
        d = r["difference"]
        gap = f"{100 * d['mean']:+.2f} ± {100 * d['half']:.2f}"
        lines.append([
            r["system"], *(format_mean(r[key]) for key in ("plain", "kd", "student")), r["over"], gap,
            str(d["n"]), r["authors"], d["verdict"],
        ])  # fmt: skip
    return markdown(head, lines)


def main() -> None:
    """Run what is missing, print the tables, write them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", help="these recipes alone, by the names of benchmarks/kd/")
    parser.add_argument("--seeds", type=int, help="runs of each recipe (default: 5, or 10 where it is close)")
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, one thread each")
    parser.add_argument("--out", type=Path, default=Path("runs/bench-kd"))
    parser.add_argument("--usps", type=Path, help="usps.npz, the target of the domain adaptation")
    parser.add_argument("--table", action="store_true", help="only write the table of what is there")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    names = options.only or [*dict.fromkeys(system.recipe for system in SYSTEMS), "orthogonality", "meeting"]
    names = [name for name in names if name != "uda" or options.usps]
    if not options.table:
        seed_counts = {name: options.seeds or CLOSE.get(name, 5) for name in names}
        pairs = [
            (name, seed)
            for seed in range(max(seed_counts.values()))
            for name in names
            if seed < seed_counts[name]
        ]
        run_all(options.out, pairs, {"uda": [f"data.target={options.usps}"]}, options.jobs)
        if "meeting" in names:
            with ThreadPoolExecutor(options.jobs) as pool:
                list(pool.map(lambda name: kd_sets.score_teachers(options.out, name), kd_sets.SETS))
    write_tables(options.out)


def write_tables(root: Path) -> None:
    """The three tables from the runs; a row without a run stays as it was measured before."""
    path = machine.RESULTS / "kd.json"
    old = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    candidates = [build_row(root, system) or find_row(old, system) for system in SYSTEMS]
    rows = [r for r in candidates if r]
    gains = kd_sets.build_factorial(load_runs(root, "orthogonality"), interval) or old.get("factorial", [])
    meeting = kd_sets.build_meeting(root) or old.get("meeting", [])
    tables = [format_rows(rows), kd_sets.format_factorial(gains), kd_sets.format_meeting(meeting)]
    print("\n\n".join(tables))
    content = {"rows": rows, "factorial": gains, "meeting": meeting}
    path = machine.write_results("kd", "make bench-kd", content)
    path.with_suffix(".md").write_text("\n\n".join(tables) + "\n", encoding="utf-8")
    print(path)


def find_row(old: dict[str, Any], system: System) -> dict[str, Any] | None:
    """A system's row as the results file has it."""
    return next((r for r in old.get("rows", []) if r["system"] == system.name), None)


if __name__ == "__main__":
    main()
