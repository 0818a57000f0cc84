"""Outer steps per second of two processes over one, the same two networks per step, one thread each.

`python -m benchmarks.processes` takes turns between the two, `--rounds` times, on MNIST, 10 images, random
LeNets, and writes benchmarks/results/processes.json.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.cases import markdown
from benchmarks.machine import write_results
from distill.runs.files.log import read_log

FIRST = 10  # outer steps that warm up
WORDS = ("--n", "10", "--init", "random", "--test-networks", "1", "--validate-every", "100000")
ALONE = ("distill.mnist", *WORDS, "--networks-per-step", "2")
TOGETHER = (
    "torch.distributed.run",
    "--standalone",
    "--nproc-per-node",
    "2",
    "-m",
    "--",
    "distill.mnist",
    *WORDS,
)


def speed(words: tuple[str, ...], steps: int) -> float:
    """Outer steps per second after the first ones, as the run's own log tells; then the run is stopped."""
    with tempfile.TemporaryDirectory() as place:
        line = [sys.executable, "-m", *words, "--out", f"{place}/run"]
        nothing = subprocess.DEVNULL
        alone = os.environ | {"OMP_NUM_THREADS": "1"}
        run = subprocess.Popen(line, env=alone, stdout=nothing, stderr=nothing)
        while len(records := read_log(Path(place) / "run")) < steps and run.poll() is None:
            time.sleep(0.5)
        run.terminate()
        run.wait()
    seconds = [record["seconds"] for record in records]
    return (len(seconds) - FIRST) / (seconds[-1] - seconds[FIRST - 1])


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    pairs = [(speed(ALONE, options.steps), speed(TOGETHER, options.steps)) for _ in range(options.rounds)]
    ratio = statistics.median(two / one for one, two in pairs)
    rows = [{"one_process": one, "two_processes": two, "ratio": two / one} for one, two in pairs]
    for row in rows:
        print("  ".join(f"{name} {value:.2f}" for name, value in row.items()))
    print(f"two processes over one: {ratio:.2f}")
    path = write_results("processes", "make bench-processes", {"ratio": ratio, "rows": rows})
    path.with_suffix(".md").write_text(table(rows) + "\n", encoding="utf-8")
    print(path)


def table(rows: list[dict[str, float]]) -> str:
    """The rounds as a Markdown table."""
    head = ["one process, steps per second", "two processes, steps per second", "ratio"]
    return markdown(head, [[f"{value:.2f}" for value in row.values()] for row in rows])


if __name__ == "__main__":
    main()
