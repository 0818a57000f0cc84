"""Outer steps per second of two processes over one, for every method: the same two networks per step.

`python -m benchmarks.processes` takes turns between one process with both networks and two with one each, one
thread a process, `--rounds` times, on MNIST, 10 images or as a row says, random networks, and writes
benchmarks/results/processes.json and processes.md. It needs two cores with nothing beside it. --methods
measures some of them alone, and keeps the rows of the others; what it does not know are options of the runs,
as --network mlp.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch

from benchmarks.cases import markdown
from benchmarks.machine import RESULTS, write_results
from distill.data.images import load
from distill.kd.network_files import save_network
from distill.networks.build import build_network
from distill.randomness import stream
from distill.runs.files.log import read_log
from distill.student.loop import train_ordinary

COMMON = (
    "--n", "10", "--init", "random", "--start", "means", "--test-networks", "1", "--validation-networks", "1",
    "--validate-every", "100000", "--outer-steps", "100000",
)  # fmt: skip
METHODS: dict[str, tuple[str, ...]] = {  # the options of a row
    "unroll": ("--method", "unroll", "--network", "lenet", "--labels", "soft"),
    "rat-bptt": ("--method", "rat-bptt"),
    "frepo": ("--method", "frepo"),
    "frepo, 100 images": ("--method", "frepo", "--n", "100"),
    "rcig": ("--method", "rcig"),
    "rcig, 100 images": ("--method", "rcig", "--n", "100"),
    "dc": ("--method", "dc"),
    "dm": ("--method", "dm"),
    "mtt": ("--method", "mtt", "--expert-count", "1", "--expert-epochs", "3", "--expert-items", "1000"),
    "sre2l": ("--method", "sre2l", "--teacher"),  # and its file
}
TORCHRUN = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "--")


def measure_method(
    options: Sequence[str], steps: int, warmup: int, rounds: int
) -> dict[str, float | list[float]]:
    """The medians of the outer steps per second by one process and by two, in turn, and their ratio."""
    single = ("distill.mnist", *COMMON, *options, "--networks-per-step", "2")
    pair = (*TORCHRUN, "distill.mnist", *COMMON, *options)
    pairs = [
        (measure_speed(single, steps, warmup), measure_speed(pair, steps, warmup)) for _ in range(rounds)
    ]
    ratios = [two / one for one, two in pairs]
    one, two = (statistics.median(speeds) for speeds in zip(*pairs, strict=True))
    return {"one_process": one, "two_processes": two, "ratio": statistics.median(ratios), "ratios": ratios}


def measure_speed(arguments: Sequence[str], steps: int, warmup: int) -> float:
    """Outer steps per second after the first ones, as the run's own log tells; then the run is stopped."""
    with tempfile.TemporaryDirectory() as folder:
        line = [sys.executable, "-m", *arguments, "--out", f"{folder}/run"]
        with open(f"{folder}/errors", "w+") as errors:
            environment = os.environ | {"OMP_NUM_THREADS": "1"}
            run = subprocess.Popen(line, env=environment, stdout=subprocess.DEVNULL, stderr=errors)
            while len(records := read_log(Path(folder) / "run")) < steps and run.poll() is None:
                time.sleep(0.1)
            run.terminate()
            run.wait()
            errors.seek(0)
            if len(records) < steps:
                raise SystemExit(
                    f"{' '.join(line)} made {len(records)} outer steps:\n{errors.read()[-2000:]}"
                )
    return compute_speed([record["seconds"] for record in records], warmup)


def compute_speed(seconds: Sequence[float], warmup: int) -> float:
    """Steps per second from the seconds at the end of each, without the first ones."""
    return (len(seconds) - warmup) / (seconds[-1] - seconds[warmup - 1])


def write_teacher(folder: str) -> str:
    """A file of a network with batch norm, hardly trained: cost does not depend on the weights.

    One that only guesses is refused as a teacher.
    """
    file, name, train = f"{folder}/teacher.pt", "convnet-batch", load("mnist")[0]
    few, adam = train.select(torch.arange(1000)), partial(torch.optim.Adam, lr=0.001)
    network = build_network(name, train.shape, len(train.classes))
    student = train_ordinary(few, network, None, adam, 2, 50, stream("processes", "teacher"))
    save_network(file, {"name": name}, student.network, train.classes)
    return file


def table(rows: list[dict[str, Any]]) -> str:
    """A row per method as a Markdown table."""
    head = ["method", "one process, steps per second", "two processes, steps per second", "ratio", "rounds"]
    return markdown(head, [
        [row["method"], *(f"{row[name]:.2f}" for name in ("one_process", "two_processes", "ratio")),
         ", ".join(f"{ratio:.2f}" for ratio in row["ratios"])]
        for row in rows
    ])  # fmt: skip


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of a results file; none where it does not exist."""
    rows: list[dict[str, Any]] = json.loads(path.read_text("utf-8"))["rows"] if path.exists() else []
    return rows


def add_rows(old: list[dict[str, Any]], new: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The new rows, and the old ones of methods that were not measured now, in the order of METHODS."""
    by_method = {row["method"]: row for row in [*old, *new]}
    return [by_method[method] for method in METHODS if method in by_method]


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)  # --n is one of the runs
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--steps", type=int, default=60, help="outer steps of a run")
    parser.add_argument("--warmup", type=int, default=10, help="of them not counted")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-write", action="store_true", help="print the table alone")
    options, more = parser.parse_known_args()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for method in options.methods:
            own = [*METHODS[method], *([write_teacher(folder)] if method == "sre2l" else []), *more]
            measured = measure_method(own, options.steps, options.warmup, options.rounds)
            rows.append({"method": method, **measured})
            print(table(rows[-1:]).splitlines()[-1], flush=True)
    if options.no_write:
        return
    rows = add_rows(read_rows(RESULTS / "processes.json"), rows)
    path = write_results("processes", "make bench-processes", {"steps": options.steps, "rows": rows})
    path.with_suffix(".md").write_text(table(rows) + "\n", encoding="utf-8")
    print(path)


if __name__ == "__main__":
    main()
