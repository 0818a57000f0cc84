"""What fits: milliseconds per outer step and peak memory against n, T, the image's size and the engine.

`python -m benchmarks.capacity` measures every row in a process of its own, one thread, outer batch 256, and
writes benchmarks/results/capacity.json and a table, by the step of a run on a CPU. Noise stands for the
images: cost does not depend on them. ConvNets are 32 wide: at 128, the published width, all is several
times that.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from benchmarks.engines import BATCH, read_memory
from benchmarks.machine import write_results
from distill.inner.engines.base import Engine
from distill.inner.engines.recompute import Recompute
from distill.inner.engines.truncated import Truncated
from distill.inner.engines.unroll import Unroll
from distill.inner.fused.problem import FusedProblem
from distill.inner.problem import Task
from distill.inner.rules import SGD
from distill.methods.unroll import meta_gradient
from distill.networks.build import build_network
from distill.networks.initial import draw_weights
from distill.outer.starts import start_labels, start_lrs
from distill.outer.synthetic import Synthetic, cyclic_schedule
from distill.randomness import stream
from distill.runs.files.machine import speed_up_cpu

ENGINES: dict[str, Engine] = {"unroll": Unroll(), "recompute": Recompute(), "truncated": Truncated(15)}
SHAPES = {"28×28": (1, 28, 28), "32×32": (3, 32, 32), "64×64": (3, 64, 64)}
ROWS = [
    *(("lenet", "28×28", n, t, engine) for n, t in ((10, 10), (10, 100), (100, 100)) for engine in ENGINES),
    *(("convnet", size, 10, 20, engine) for size in SHAPES for engine in ENGINES),
    *(("convnet", "32×32", 100, 100, engine) for engine in ("recompute", "truncated")),
]
WIDTH: dict[str, dict[str, int]] = {"lenet": {}, "convnet": {"width": 32}}
Row = tuple[str, str, int, int, str]


def measure_row(row: Row, rounds: int) -> dict[str, Any]:
    """Median milliseconds of an outer step, and MiB of its peak beyond what the process held before."""
    name, size, n, steps, engine = row
    problem = FusedProblem(build_network(name, SHAPES[size], 10, **WIDTH[name]), SGD(0.9))
    state = problem.start(draw_weights(problem.network, stream("capacity")))
    task = Task(state, torch.randn(BATCH, *SHAPES[size]), torch.arange(BATCH) % 10, stream("capacity", 1))
    items, schedule = torch.randn(n, *SHAPES[size]), cyclic_schedule(n, min(n, 20), steps)
    synthetic = Synthetic(items, start_labels(n, 10, "soft"), start_lrs(0.001, steps, None), schedule)
    before, times = read_memory("VmRSS"), []
    Path("/proc/self/clear_refs").write_text("5")
    for _ in range(rounds):
        start = time.perf_counter()
        meta_gradient(problem, synthetic, ENGINES[engine], task)
        times.append(time.perf_counter() - start)
    settings = {"network": name, "image": size, "n": n, "T": steps, "engine": engine}
    return {**settings, "ms": 1e3 * statistics.median(times[1:]), "mib": read_memory("VmHWM") - before}


def measure_in_process(row: Row, rounds: int) -> dict[str, Any]:
    """measure_row() in a process of its own."""
    line = [sys.executable, "-m", "benchmarks.capacity", "--rounds", str(rounds), "--row", json.dumps(row)]
    result = subprocess.run(line, capture_output=True, text=True, check=True)
    return dict(json.loads(result.stdout.splitlines()[-1]))


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as a Markdown table."""
    head = ["| network | image | n | T | engine | outer step | memory |", "|" + "---|" * 7]
    lines = [
        f"| {r['network']} | {r['image']} | {r['n']} | {r['T']} | {r['engine']} "
        f"| {r['ms'] / 1e3:.2f} s | {r['mib']:.0f} MiB |"
        for r in rows
    ]
    return "\n".join([*head, *lines])


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--row", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    speed_up_cpu(1)
    if options.row:
        print(json.dumps(measure_row(options.row, options.rounds)))
        return
    rows = [measure_in_process(row, options.rounds) for row in ROWS]
    print(table(rows))
    path = write_results(
        "capacity", "make bench-capacity", {"outer_batch": BATCH, "threads": 1, "rows": rows}
    )
    path.with_suffix(".md").write_text(table(rows) + "\n", encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
