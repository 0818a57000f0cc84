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

WARMUP_STEPS = 10  # outer steps that warm up
ARGUMENTS = ("--n", "10", "--init", "random", "--test-networks", "1", "--validate-every", "100000")
ONE_PROCESS = ("distill.mnist", *ARGUMENTS, "--networks-per-step", "2")
TWO_PROCESSES = (
    "torch.distributed.run",
    "--standalone",
    "--nproc-per-node",
    "2",
    "-m",
    "--",
    "distill.mnist",
    *ARGUMENTS,
)


def measure_speed(arguments: tuple[str, ...], steps: int) -> float:
    """Outer steps per second after the first ones, as the run's own log tells; then the run is stopped."""
    with tempfile.TemporaryDirectory() as folder:
        line = [sys.executable, "-m", *arguments, "--out", f"{folder}/run"]
        devnull = subprocess.DEVNULL
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        run = subprocess.Popen(line, env=environment, stdout=devnull, stderr=devnull)
        while len(records := read_log(Path(folder) / "run")) < steps and run.poll() is None:
            time.sleep(0.5)
        run.terminate()
        run.wait()
    seconds = [record["seconds"] for record in records]
    return (len(seconds) - WARMUP_STEPS) / (seconds[-1] - seconds[WARMUP_STEPS - 1])


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    pairs = [
        (measure_speed(ONE_PROCESS, options.steps), measure_speed(TWO_PROCESSES, options.steps))
        for _ in range(options.rounds)
    ]
    ratio = statistics.median(pair_speed / single_speed for single_speed, pair_speed in pairs)
    rows = [
        {"one_process": single_speed, "two_processes": pair_speed, "ratio": pair_speed / single_speed}
        for single_speed, pair_speed in pairs
    ]
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
