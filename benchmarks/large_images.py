"""What a run of large images takes, by --dry-run; and what outer passes in bfloat16 gain.

`python -m benchmarks.large_images` asks for each row in a process of its own, one thread, and writes
benchmarks/results/large-images.json, large-images.md and autocast.md. Noise of ten classes stands for the
images: cost does not depend on them.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.cases import markdown
from benchmarks.machine import write_results
from distill.inner.fused.problem import FusedProblem
from distill.inner.memory.autocast import AutocastFusedProblem
from distill.inner.problem import Problem
from distill.networks.build import build_network, default_arguments
from distill.networks.initial import draw_weights
from distill.randomness import stream
from distill.report.figures import format_duration
from distill.runs.files.machine import speed_up_cpu

SIZES, CLASSES, WIDTH = (64, 128, 224), 10, 32
BLOCKS, AUTOCAST = ("--checkpoint-blocks",), ("--autocast", "bfloat16")
RUN = (
    "--n", "10", "--init", "random", "--network", "convnet", "--width", str(WIDTH), "--start", "real",
    "--inner-steps", "3", "--outer-steps", "1000", "--outer-batch", "64", "--validation-networks", "1",
    "--test-networks", "2", "--full-data-networks", "0", "--dc-networks", "0", "--baseline-networks", "0",
)  # fmt: skip
METHODS = {"frepo": (), "dm": (), "unroll": ("--max-horizon", "3", "--engine", "recompute")}
ROWS = [
    *((size, method, ()) for size in SIZES for method in METHODS),
    *((size, "unroll", BLOCKS) for size in SIZES),
    *((128, "unroll", options) for options in (AUTOCAST, (*BLOCKS, *AUTOCAST))),
]
PASSES = ((32, 32, 128), (64, 32, 64), (64, 128, 32), (128, 32, 32), (128, 128, 8))  # pixels, width, items


def write_images(path: Path, size: int, train: int = 320, test: int = 40) -> Path:
    """Noise as a user's data."""
    random = np.random.default_rng(0)
    arrays: dict[str, Any] = {}
    for split, count in (("train", train), ("test", test)):
        arrays[f"x_{split}"] = random.integers(0, 256, (count, size, size, 3), dtype=np.uint8)
        arrays[f"y_{split}"] = np.arange(count) % CLASSES
    np.savez(path, **arrays)
    return path


def ask(data: Path, size: int, method: str, options: tuple[str, ...]) -> dict[str, Any]:
    """The row of a run: what --dry-run says of it, and the share of its time in which it had a core."""
    line = [sys.executable, "-m", "distill", "image", "--dataset", str(data), *RUN, "--dry-run", "--json"]
    line += ["--method", method, *METHODS[method], *options]
    start, before = time.perf_counter(), os.times()
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    after = os.times()
    computed = sum(after[2:4]) - sum(before[2:4])  # seconds of children, of the user and the system
    share = min(1.0, computed / (time.perf_counter() - start))
    cost = {"share": share, **json.loads(done.stdout.splitlines()[-1])}
    depth = default_arguments("convnet", (3, size, size))["depth"]
    return {"image": size, "depth": depth, "method": method, "options": " ".join(options), **cost}


def describe(row: dict[str, Any]) -> list[str]:
    """The cells of a row; seconds are those in which it would compute, had it a core of its own."""
    size, options = f"{row['image']}×{row['image']}", f"`{row['options']}`" if row["options"] else ""
    seconds, whole = (row["share"] * row[key] for key in ("seconds_per_step", "total_seconds"))
    peak, duration = f"{row['peak_mib']:,.0f} MiB", format_duration(whole)
    return [size, str(row["depth"]), row["method"], options, f"{seconds:.2f} s", peak, duration]


def measure_pass(size: int, width: int, items: int, rounds: int = 4) -> dict[str, Any]:
    """Milliseconds of an outer batch's loss and gradient in both precisions, and the gradients' cosine."""
    shape = (3, size, size)
    network = build_network("convnet", shape, CLASSES, width=width, **default_arguments("convnet", shape))
    weights = draw_weights(network, stream("passes"))
    x, y = torch.randn(items, *shape, generator=stream("passes", 1)), torch.arange(items) % CLASSES

    def run(problem: Problem) -> tuple[float, torch.Tensor]:
        state = tuple(w.requires_grad_() for w in problem.start(weights))
        start = time.process_time()  # not of the others on this core
        gradients = torch.autograd.grad(problem.loss(state, x, y), state)
        return 1e3 * (time.process_time() - start), torch.cat([g.flatten() for g in gradients])

    runs = [(run(FusedProblem(network)), run(AutocastFusedProblem(network))) for _ in range(rounds)]
    exact, rounded = (min(pair[k][0] for pair in runs) for k in (0, 1))
    cosine = torch.cosine_similarity(runs[0][0][1], runs[0][1][1], dim=0)
    facts = {"image": size, "width": width, "items": items}
    return {**facts, "float32_ms": exact, "bfloat16_ms": rounded, "cosine": float(cosine)}


def tabulate_passes(rows: list[dict[str, Any]]) -> str:
    """The rows of measure_pass() as a table."""
    head = ["image", "width", "items", "float32", "bfloat16", "ratio", "cosine of the gradients"]
    cells = [
        [f"{r['image']}×{r['image']}", str(r["width"]), str(r["items"]), f"{r['float32_ms']:.0f} ms",
         f"{r['bfloat16_ms']:.0f} ms", f"{r['bfloat16_ms'] / r['float32_ms']:.2f}", f"{r['cosine']:.3f}"]
        for r in rows
    ]  # fmt: skip
    return markdown(head, cells)


def write_tables(rows: list[dict[str, Any]], passes: list[dict[str, Any]]) -> None:
    """The results so far, by size."""
    rows = sorted(rows, key=lambda row: row["image"])
    content = {"threads": 1, "run": RUN, "methods": METHODS, "rows": rows, "passes": passes}
    path = write_results("large-images", "python -m benchmarks.large_images", content)
    head = ["image", "depth", "method", "options", "outer step", "peak of the process", "1,000 steps"]
    table = markdown(head, [describe(row) for row in rows])
    path.with_suffix(".md").write_text(table + "\n", encoding="utf-8")
    path.with_name("autocast.md").write_text(tabulate_passes(passes) + "\n", encoding="utf-8")


def main() -> None:
    """The command."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    speed_up_cpu(1)
    passes = [measure_pass(*each) for each in PASSES]
    print(tabulate_passes(passes), flush=True)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        data = {size: write_images(Path(folder) / f"{size}.npz", size) for size in SIZES}
        for size, method, options in ROWS:
            rows.append(ask(data[size], size, method, options))
            print(describe(rows[-1]), flush=True)
            write_tables(rows, passes)


if __name__ == "__main__":
    main()
