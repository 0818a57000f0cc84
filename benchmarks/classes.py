"""Seconds of an outer step against the number of classes.

`python -m benchmarks.classes` measures methods on generated images of 10, 100 and 1,000 classes by --dry-run,
with as many learned items, and for methods that match classes as many classes per visit, and writes
benchmarks/results/classes.json and classes.md. The last layer of an MLP on 1,000 classes is more than half of
its arithmetic; that of a ConvNet is little beside its convolutions.
"""

import argparse
import itertools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.cases import markdown
from benchmarks.estimates import distil
from benchmarks.machine import write_results

CLASSES = (10, 100, 1000)
NETWORKS = {"mlp": (), "convnet": ("--width", "64")}
METHODS = {
    "dm": ("--method", "dm", "--classes-per-step", "10"),
    "dc": ("--method", "dc", "--classes-per-step", "10"),
    "frepo": ("--method", "frepo"),
    "unroll": ("--method", "unroll", "--labels", "softmax"),
}
COMMON = (
    "--n", "1000", "--init", "random", "--batch", "100", "--test-networks", "1",
    "--baseline-networks", "0", "--full-data-networks", "0", "--dc-networks", "0",
)  # fmt: skip
ITEMS, SIZE = 20_000, 28


def write_images(path: Path, classes: int) -> None:
    """An .npz file of noise: cost does not depend on the pixels."""
    random = np.random.default_rng(0)
    split = {"train": ITEMS, "test": 2000}
    arrays = {f"x_{name}": random.integers(0, 256, (n, SIZE, SIZE), np.uint8) for name, n in split.items()}
    labels = {f"y_{name}": np.arange(n) % classes for name, n in split.items()}
    np.savez(path, **arrays, **labels)  # type: ignore[arg-type]


def measure(folder: Path, method: str, network: str) -> dict[str, Any]:
    """The row of a method and a network: milliseconds of an outer step at each number of classes."""
    options, times = ("--network", network, *NETWORKS[network], *METHODS[method]), {}
    for classes in CLASSES:
        result = distil("--dataset", str(folder / f"{classes}.npz"), *COMMON, *options, "--dry-run")
        times[classes] = 1000 * result["seconds_per_step"]
    return {"method": method, "network": network, "milliseconds": times}


def table(rows: list[dict[str, Any]]) -> str:
    """Milliseconds for each row, and the ratio of the most to the fewest classes."""
    head = ["method", "network", *(f"{classes:,} classes, ms" for classes in CLASSES), "1,000 over 10"]
    return markdown(head, [
        [row["method"], row["network"], *(f"{ms:.0f}" for ms in row["milliseconds"].values()),
         f"{row['milliseconds'][CLASSES[-1]] / row['milliseconds'][CLASSES[0]]:.2f}"]
        for row in rows
    ])  # fmt: skip


def main() -> None:
    """The command."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for classes in CLASSES:
            write_images(Path(folder) / f"{classes}.npz", classes)
        rows = [measure(Path(folder), *pair) for pair in itertools.product(METHODS, NETWORKS)]
    path = write_results("classes", "python -m benchmarks.classes", {"rows": rows})
    path.with_suffix(".md").write_text(table(rows) + "\n", encoding="utf-8")
    print(table(rows))


if __name__ == "__main__":
    main()
