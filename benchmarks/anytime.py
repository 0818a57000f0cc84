"""Held-out accuracy against seconds of the main job: MNIST, LeNet from known weights, one thread.

`python -m benchmarks.anytime` starts runs of 60 and of 100 seconds for five and ten images, five seeds each,
one after the other, and stops each when it has what is asked for; it writes benchmarks/results/anytime.json
and anytime.md, and the curves to docs/assets/anytime.png. A run's rates fall to zero at its end, so that a
longer one is worse at the same second. Seconds are the run's own: those of outer steps and of
choosing among them, every 50 steps here, without the reading of the data. Medians are over seeds.
"""

import argparse
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt

from benchmarks.cases import markdown
from benchmarks.machine import write_results

ASSETS = Path(__file__).parents[1] / "docs" / "assets"
TARGETS = {5: 0.916, 10: 0.96}  # the accuracies of the paper's own code, with so many images
MOMENTS = (10, 30, 60)  # seconds
VALIDATE_EVERY = 50
LENGTHS = (60, 100)  # seconds that a run has
LINE = (
    "--baseline-networks", "0", "--full-data-networks", "0", "--threads", "1", "--validate-every",
    str(VALIDATE_EVERY), "--test-networks", "1",
)  # fmt: skip

Curve = list[tuple[float, float]]  # seconds, and the best held-out accuracy until then


def run(n: int, length: int, seed: int) -> Curve:
    """The curve of a run until it has reached its target and the last moment, or its time is over."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        line = [sys.executable, "-m", "distill.mnist", "--n", str(n), "--seed", str(seed), "--out", str(out)]
        line += ["--distil-minutes", f"{length / 60:.4f}", *LINE]
        process = subprocess.Popen(line, stdout=subprocess.DEVNULL)
        while process.poll() is None and not is_over(curve := read_curve(out / "log.jsonl"), n, length):
            time.sleep(0.5)
        process.kill()
        process.wait()
        return read_curve(out / "log.jsonl") if process.returncode == 0 else curve


def read_curve(log: Path) -> Curve:
    """The curve of a run's log, as far as it goes."""
    if not log.exists():
        return []
    lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
    records = [json.loads(line) for line in lines if line.endswith("\n")]
    curve: Curve = []
    for r in records:
        if "validation" in r:
            curve.append((r["seconds"], max(r["validation"], curve[-1][1] if curve else 0.0)))
    return curve


def is_over(curve: Curve, n: int, length: int) -> bool:
    """Whether a curve has all that is asked for."""
    if not curve:
        return False
    seconds, score = curve[-1]
    return seconds >= length or (seconds >= MOMENTS[-1] and score >= TARGETS[n])


def time_to(curve: Curve, target: float) -> float:
    """The seconds until an accuracy; infinite where it was not reached."""
    return next((seconds for seconds, score in curve if score >= target), float("inf"))


def score_at(curve: Curve, moment: float) -> float:
    """The best held-out accuracy that was measured by a moment."""
    return max((score for seconds, score in curve if seconds <= moment), default=0.0)


def summarise(n: int, length: int, curves: list[Curve]) -> dict[str, Any]:
    """The row of a number of images and a length of runs."""
    times = [time_to(curve, TARGETS[n]) for curve in curves]
    return {
        "n": n,
        "length": length,
        "target": TARGETS[n],
        "seconds": [number_or_none(t) for t in times],
        "median_seconds": number_or_none(statistics.median(times)),
        "median_at": {str(m): statistics.median(score_at(c, m) for c in curves) for m in MOMENTS},
        "curves": curves,
    }


def number_or_none(seconds: float) -> float | None:
    """Rounded seconds; None, as JSON has it, for what was not reached."""
    return None if seconds == float("inf") else round(seconds, 1)


def describe(seconds: float | None) -> str:
    """'40', or '-' for what was not reached."""
    return "-" if seconds is None else f"{seconds:.0f}"


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as a Markdown table."""
    head = ["images", "seconds of the run", "held-out accuracy", "seconds to it, median", "per seed"]
    head += [f"accuracy after {moment} s" for moment in MOMENTS]
    return markdown(head, [
        [str(r["n"]), str(r["length"]), f"{100 * r['target']:g} %", describe(r["median_seconds"]),
         ", ".join(map(describe, r["seconds"])),
         *(f"{100 * score:.1f} %" for score in r["median_at"].values())]
        for r in rows
    ])  # fmt: skip


def draw(rows: list[dict[str, Any]]) -> None:
    """Held-out accuracy against seconds, a line for each seed."""
    figure, axes = plt.subplots(figsize=(7, 3.6), layout="constrained")
    for row, color in zip(rows, ("C0", "C1", "C2", "C3"), strict=False):
        for i, curve in enumerate(row["curves"]):
            seconds, scores = zip(*curve, strict=True)
            label = f"{row['n']} images, {row['length']} s" if i == 0 else None
            axes.plot(seconds, [100 * s for s in scores], color=color, alpha=0.6, label=label)
        axes.axhline(100 * row["target"], color=color, linestyle=":", linewidth=1)
    axes.set(xlabel="seconds of one thread", ylabel="held-out accuracy, %", ylim=(50, 100))
    axes.legend(frameon=False, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(ASSETS / "anytime.png", dpi=110)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--n", nargs="+", type=int, default=list(TARGETS), choices=list(TARGETS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2, 3, 4])
    parser.add_argument("--lengths", nargs="+", type=int, default=list(LENGTHS), help="seconds of the runs")
    options = parser.parse_args()
    rows = []
    for n, length in itertools.product(options.n, options.lengths):
        rows.append(summarise(n, length, [run(n, length, seed) for seed in options.seeds]))
        print(table(rows), flush=True)
    path = write_results(
        "anytime", f"python -m benchmarks.anytime ({len(options.seeds)} seeds)", {"rows": rows}
    )
    path.with_suffix(".md").write_text(table(rows) + "\n", encoding="utf-8")
    draw(rows)


if __name__ == "__main__":
    main()
