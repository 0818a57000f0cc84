"""Trajectory matching: beside dc at equal seconds, and its memory at twice the steps.

`python -m benchmarks.trajectories --dataset CIFAR10.npz` trains ten small experts, distils ten 16×16 images
by mtt, and by dc for as many seconds, once without and once with those of the experts. `--memory` measures,
in a process each, an outer step with and without --constant-memory at 20, 40 and 80 student steps, and the
arithmetic that no step can do without: a forward and backward pass per student step, differentiated. One
thread. Results are benchmarks/results/trajectories.json and, of the memory, trajectories-memory.json.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from benchmarks.cases import markdown, percent
from benchmarks.engines import read_memory
from benchmarks.machine import write_results
from distill.inner.kernels import FastProblem
from distill.inner.problem import State, Task
from distill.inner.step import Step
from distill.methods.trajectories.experts import Trajectory, flatten
from distill.methods.trajectories.matching import MTT
from distill.networks.build import build_network
from distill.networks.initial import draw_weights
from distill.outer.starts import start_labels, start_lrs
from distill.outer.synthetic import Synthetic, cyclic_schedule
from distill.randomness import stream
from distill.runs.files.machine import speed_up_cpu
from distill.sets.distilled import DistilledSet

STEPS, N, SHAPE = (20, 40, 80), 10, (3, 16, 16)
COMMON = (
    "--image-size", "16", "--n", "10", "--init", "random", "--network", "convnet", "--width", "32",
    "--augment", "flip-crop", "--full-data-networks", "0", "--test-networks", "10", "--validate-every", "50",
)  # fmt: skip
EXPERTS = (
    "--method", "mtt", "--expert-count", "10", "--expert-epochs", "10", "--expert-items", "5000",
    "--expert-lr", "0.05", "--expert-batch", "64", "--max-start-epoch", "5",
)  # fmt: skip


# Memory and time of a step


def build_case() -> tuple[FastProblem, State, tuple[Trajectory, ...], Synthetic]:
    """A small ConvNet, its state, an expert that went from one initialisation to another, and ten images."""
    problem = FastProblem(build_network("convnet", SHAPE, 10, width=32))
    states = [problem.start(draw_weights(problem.network, stream("mtt", k), "own")) for k in range(4)]
    expert = Trajectory(torch.stack([flatten(problem, state) for state in states]))
    items, schedule = torch.randn(N, *SHAPE), cyclic_schedule(N, N, 1)
    labels, lrs = start_labels(N, 10, "softmax"), start_lrs(0.02, 1, None)
    return (
        problem,
        states[0],
        (expert,),
        Synthetic(items, labels, lrs, schedule, "softmax"),
    )


def run_floor(problem: FastProblem, state: State, synthetic: Synthetic, steps: int) -> None:
    """So many steps, each differentiated once more, and nothing else."""
    x, y, lr = synthetic.items.clone().requires_grad_(), synthetic.targets(), torch.tensor(0.02)
    for _ in range(steps):
        before = tuple(t.detach().requires_grad_() for t in state)
        after = problem.advance(before, Step(x, y, lr))
        torch.autograd.grad(after, [x, *before], [torch.ones_like(t) for t in after])


def measure_step(steps: int, constant_memory: bool, rounds: int = 7) -> dict[str, Any]:
    """The quickest of some outer steps, its floor, and MiB of its peak beyond the process before."""
    problem, state, experts, synthetic = build_case()
    method = MTT(syn_steps=steps, constant_memory=constant_memory, trajectories=experts)
    task = Task(state, torch.zeros(0), torch.zeros(0).long(), stream("mtt"))
    objective = method.objective(problem, lambda step: [task])
    before = read_memory("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    objective(synthetic, 0)
    peak = read_memory("VmHWM") - before
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):  # in turn: a busy machine slows both
        times[0].append(seconds_of(lambda: objective(synthetic, 0)))
        times[1].append(seconds_of(lambda: run_floor(problem, state, synthetic, steps)))
    ms, floor = (1000 * min(values) for values in times)
    return {
        "steps": steps, "constant_memory": constant_memory, "ms": round(ms, 1), "floor_ms": round(floor, 1),
        "over_floor": round(ms / floor, 2), "peak_mib": round(peak, 1),
    }  # fmt: skip


def seconds_of(function: Callable[[], object]) -> float:
    """How long a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def measure_memory() -> None:
    """All rows, each in a process of its own, so that one's memory is not another's."""
    rows = []
    for constant in (False, True):
        for steps in STEPS:
            line = [
                sys.executable,
                "-m",
                "benchmarks.trajectories",
                "--step",
                str(steps),
                *["--constant"] * constant,
            ]
            output = subprocess.run(line, check=True, capture_output=True, text=True).stdout
            rows.append(json.loads(output))
            print(rows[-1], flush=True)
    path = write_results("trajectories-memory", "python -m benchmarks.trajectories --memory", {"rows": rows})
    head = ["student steps", "`--constant-memory`", "per outer step", "over its arithmetic", "peak"]
    cells = [
        [str(r["steps"]), "yes" if r["constant_memory"] else "no", f"{r['ms']:.0f} ms",
         f"{r['over_floor']:.2f}", f"{r['peak_mib']:.0f} MiB"]
        for r in rows
    ]  # fmt: skip
    path.with_suffix(".md").write_text(markdown(head, cells) + "\n", encoding="utf-8")
    print(path)


# Accuracy at equal seconds


def distil(out: Path, name: str, arguments: tuple[str, ...]) -> DistilledSet:
    """The set of a run, distilled now where it is not there."""
    path = out / name / "set.pt"
    if not path.exists():
        line = [sys.executable, "-m", "distill", "image", *COMMON, *arguments, "--out", str(out / name)]
        subprocess.run([*line, "--overwrite"], check=True)
    return DistilledSet.load(path)


def describe(name: str, data: DistilledSet) -> dict[str, Any]:
    """The row of a set."""
    scores, provenance = data.scores, data.provenance
    return {
        "case": name, "own": scores["accuracy"], "by_dc": scores["protocols"]["dc"],
        "k_means": scores["baselines"]["k-means"], "seconds": round(provenance["seconds"]),
        "expert_seconds": round(provenance.get("expert_seconds", 0)),
        "outer_steps": provenance["outer_steps"],
    }  # fmt: skip


def compare(dataset: str, out: Path, minutes: float) -> None:
    """mtt, and dc for as long without and with the experts."""
    data = ("--dataset", dataset)
    mtt = distil(out, "mtt", (*data, *EXPERTS, "--distil-minutes", str(minutes)))
    longer = minutes + mtt.provenance["expert_seconds"] / 60
    rows = [describe("mtt", mtt)]
    for name, time_limit in (("dc, experts not counted", minutes), ("dc, experts counted", longer)):
        folder = name.replace(", ", "-").replace(" ", "-")
        limit = ("--method", "dc", "--distil-minutes", f"{time_limit:.3f}")
        rows.append(describe(name, distil(out, folder, (*data, *limit))))
    path = write_results(
        "trajectories", "python -m benchmarks.trajectories", {"minutes": minutes, "rows": rows}
    )
    head = ["case", "own recipe", "by dc", "k-means", "seconds", "of experts", "outer steps"]
    cells = [
        [r["case"], percent(r["own"]), percent(r["by_dc"]), percent(r["k_means"]), str(r["seconds"]),
         str(r["expert_seconds"]), f"{r['outer_steps']:,}"]
        for r in rows
    ]  # fmt: skip
    path.with_suffix(".md").write_text(markdown(head, cells) + "\n", encoding="utf-8")
    print(markdown(head, cells), path, sep="\n")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dataset", default="cifar-10", help="the real images: a name, or an .npz file")
    parser.add_argument("--minutes", type=float, default=10.0, help="of distilling, without experts")
    parser.add_argument("--out", type=Path, default=Path("runs/bench-trajectories"))
    parser.add_argument("--memory", action="store_true", help="memory and time of a step instead")
    parser.add_argument("--step", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--constant", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.step:
        speed_up_cpu(1)
        print(json.dumps(measure_step(options.step, options.constant)))
    elif options.memory:
        measure_memory()
    else:
        compare(options.dataset, options.out, options.minutes)


if __name__ == "__main__":
    main()
