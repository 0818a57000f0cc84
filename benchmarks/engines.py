"""Time per outer step and peak memory of each engine against T: LeNet on 28×28, 10 items, outer batch 256.

The engines of distill have its fused step, as in runs; `higher`, the floor and "Unroll, plain" use torch's.
`python -m benchmarks.engines` measures all; every case runs in a process of its own for its memory,
and the engines take turns in one process for their times, so that other load affects all alike.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.cases import markdown
from benchmarks.machine import write_results
from distill.inner.compiled import CompiledProblem, has_compiler
from distill.inner.engines.base import Engine
from distill.inner.engines.higher import Higher, torch_optimiser
from distill.inner.engines.recompute import Recompute
from distill.inner.engines.truncated import Truncated
from distill.inner.engines.unroll import Unroll
from distill.inner.fused.problem import FusedProblem
from distill.inner.problem import Problem, Task
from distill.methods.unroll import meta_gradient
from distill.networks.build import build_network
from distill.networks.initial import draw_weights
from distill.outer.starts import start_labels, start_lrs
from distill.outer.synthetic import Synthetic, cyclic_schedule
from distill.randomness import stream
from distill.runs.files.machine import speed_up_cpu

N, BATCH = 10, 256
COMPARED = (("Unroll", "Higher"), ("Unroll", "floor"), ("Recompute", "Unroll"))
ONLY_TIMED = ("floor", "Compiled")  # only timed


def engines(problem: Problem, steps: int) -> dict[str, tuple[Problem, Engine]]:
    """The engines that are compared, by name, each with the problem as it has it."""
    fused_problem = FusedProblem(problem.network, problem.rule)
    higher = Higher(problem.network, problem.inner_loss, torch_optimiser(problem.rule))
    fused_engines: dict[str, Engine] = {
        "Unroll": Unroll(),
        "Recompute": Recompute(),
        "Recompute(every=1)": Recompute(every=1),
        "Truncated(T/2)": Truncated(max(1, steps // 2)),
    }
    torch_engines: dict[str, Engine] = {"Unroll, plain": Unroll(), "Higher": higher}
    return {k: (fused_problem, e) for k, e in fused_engines.items()} | {
        k: (problem, e) for k, e in torch_engines.items()
    }


def make_case(steps: int) -> tuple[Problem, Synthetic, Task]:
    """LeNet with one rate per step and tensor, on noise: cost does not depend on the pixels."""
    problem = Problem(build_network("lenet", (1, 28, 28), 10))
    x, y = torch.randn(BATCH, 1, 28, 28), torch.arange(BATCH) % 10
    state = problem.start(draw_weights(problem.network, stream("bench")))
    lrs = start_lrs(0.02, steps, len(problem.names))
    items = torch.randn(N, 1, 28, 28)
    synthetic = Synthetic(items, start_labels(N, 10, "soft"), lrs, cyclic_schedule(N, N, steps))
    return problem, synthetic, Task(state, x, y, stream("bench", 1))


def run_floor(problem: Problem, synthetic: Synthetic, task: Task) -> None:
    """The arithmetic alone: the outer batch once, and T times one forward and two backwards on the items."""
    weights = [w.detach().requires_grad_() for w in task.state]
    torch.autograd.grad(problem.loss(tuple(weights), task.x, task.y), weights)
    for step in synthetic.steps():
        loss = problem.inner_loss(problem.logits(tuple(weights), step.x), step.y)
        for keep in (True, False):
            torch.autograd.grad(loss, weights, retain_graph=keep)


def time_runs(runs: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Each run's times, taken in turns after one warm-up."""
    times: dict[str, list[float]] = {name: [] for name in runs}
    for turn in range(rounds + 1):
        for name, call in runs.items():
            start = time.perf_counter()
            call()
            if turn:
                times[name].append(1e3 * (time.perf_counter() - start))
    return times


def time_engines(steps: int, rounds: int) -> dict[str, float]:
    """Median milliseconds per outer step, by engine, and of the floor."""
    problem, synthetic, task = make_case(steps)

    def run(problem: Problem, engine: Engine) -> Callable[[], object]:
        return lambda: meta_gradient(problem, synthetic, engine, task)

    runs = {name: run(*pair) for name, pair in engines(problem, steps).items()}
    if has_compiler():
        runs["Compiled"] = run(CompiledProblem(problem.network, problem.rule), Unroll())
    runs["floor"] = lambda: run_floor(problem, synthetic, task)
    return {name: statistics.median(times) for name, times in time_runs(runs, rounds).items()}


def measure_peak(steps: int, name: str) -> float:
    """MiB by which one outer step's peak exceeds what a process holds that has imported everything (Linux).

    About 50 MiB of it are kernels that torch loads when they are first used, whatever the engine. Freed
    memory goes back here, as glibc does by default; runs keep it for speed (speed_up_cpu), up to 10 MiB.
    """
    problem, synthetic, task = make_case(steps)
    before = read_memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # from here on VmHWM counts anew
    problem, engine = engines(problem, steps)[name]
    meta_gradient(problem, synthetic, engine, task)
    return read_memory("VmHWM") - before


def read_memory(field: str) -> float:
    """A field of /proc/self/status in MiB: VmRSS is held now, VmHWM the most since the last reset."""
    lines = Path("/proc/self/status").read_text().split("\n")
    return next(float(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def measure_peak_in_process(steps: int, name: str, times: int = 3) -> float:
    """measure_peak() in processes of their own, the median: pages of code come and go, 10 MiB of them."""
    line = [sys.executable, "-m", "benchmarks.engines", "--peak", name, "--steps", str(steps)]
    results = [subprocess.run(line, capture_output=True, text=True, check=True) for _ in range(times)]
    return statistics.median(float(json.loads(r.stdout.splitlines()[-1])) for r in results)


def main() -> None:
    """Measure, print a table, write benchmarks/results/engines.json and engines.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, nargs="+", default=[5, 10, 50, 200])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peak:
        torch.set_num_threads(1)
        print(json.dumps(measure_peak(options.steps[0], options.peak)))
        return
    speed_up_cpu(1)
    rows = []
    for steps in options.steps:
        times = time_engines(steps, max(5, options.rounds * 10 // max(steps, 10)))
        for name, ms in times.items():
            memory = None if name in ONLY_TIMED else measure_peak_in_process(steps, name)
            rows.append({"T": steps, "engine": name, "ms": ms, "peak_mib": memory})
            memory_text = "" if memory is None else f"{memory:8.1f} MiB"
            print(f"T = {steps:3}  {name:20} {ms:8.1f} ms  {memory_text}", flush=True)
    ratios = {
        "unroll_over_higher_ms": compare_engines(rows, "ms", "Unroll", "Higher"),
        "plain_unroll_over_higher_ms": compare_engines(rows, "ms", "Unroll, plain", "Higher"),
    }
    if has_compiler():
        ratios["compiled_over_higher_ms"] = compare_engines(rows, "ms", "Compiled", "Higher")
    ratios["unroll_over_floor_ms"] = compare_engines(rows, "ms", "Unroll", "floor")
    ratios["recompute_over_unroll_ms"] = compare_engines(rows, "ms", "Recompute", "Unroll")
    ratios["recompute_over_unroll_peak"] = compare_engines(rows, "peak_mib", "Recompute", "Unroll")
    print(json.dumps(ratios, indent=1))
    setting = {"network": "lenet", "items": N, "outer_batch": BATCH, "threads": 1}
    path = write_results(
        "engines", "make bench-engines", {"setting": setting, "ratios": ratios, "rows": rows}
    )
    path.with_suffix(".md").write_text(table(rows) + "\n", encoding="utf-8")
    print(path)


def table(rows: list[dict[str, object]]) -> str:
    """A row per engine, a column per T, as a Markdown table."""
    steps = sorted({int(str(r["T"])) for r in rows})
    names = list(dict.fromkeys(str(r["engine"]) for r in rows))
    cells = {(r["engine"], r["T"]): format_cost(r) for r in rows}
    body = [[n, *(cells.get((n, t), "-") for t in steps)] for n in names]
    for above, below in COMPARED:
        ratios = compare_engines(rows, "ms", above, below)
        body.append([f"time of {above} over {below}", *(f"{ratios[str(t)]:.2f}" for t in steps)])
    return markdown(["engine", *(f"T = {t}" for t in steps)], body)


def format_cost(row: dict[str, object]) -> str:
    """'82 ms, 76 MiB'; '58 ms' where memory was not measured."""
    memory = row["peak_mib"]
    return f"{float(str(row['ms'])):.0f} ms" + ("" if memory is None else f", {float(str(memory)):.0f} MiB")


def compare_engines(rows: list[dict[str, object]], column: str, above: str, below: str) -> dict[str, float]:
    """The ratio of two engines at each T."""
    values = {(r["T"], r["engine"]): r[column] for r in rows}
    steps = sorted({int(str(r["T"])) for r in rows})
    return {str(t): round(float(str(values[t, above])) / float(str(values[t, below])), 3) for t in steps}


if __name__ == "__main__":
    main()
