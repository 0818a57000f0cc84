"""A folder of many pictures from disk beside the same in memory: milliseconds of an outer step, and memory.

`python -m benchmarks.pictures --folder DIR` writes 100,000 pictures of 128×128 there (once), looks at a run
with --keep memory and with --keep disk by --dry-run, in turn, and writes benchmarks/results/pictures.json and
pictures.md. Memory is beside that of a process that has imported torch.
"""

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from benchmarks.cases import markdown
from benchmarks.estimates import distil
from benchmarks.machine import write_results

SIDE, CLASSES = 128, 10
RUN = (
    "--n", "10", "--init", "random", "--network", "convnet", "--width", "16", "--method", "dm",
    "--inner-steps", "20", "--outer-batch", "640", "--test-networks", "1", "--baseline-networks", "0",
    "--dc-networks", "0", "--full-data-networks", "0",
)  # fmt: skip
READ_PEAK = "import torch\nfrom distill.runs.files.machine import peak_mib\nprint(peak_mib())"


def write_pictures(folder: Path, count: int) -> None:
    """So many JPEG pictures of noise of low frequency, in one folder per class, unless they are there."""
    random = np.random.default_rng(0)
    for k in range(count):
        path = folder / f"class{k % CLASSES}" / f"{k:06}.jpg"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            small = random.integers(0, 256, (8, 8, 3), np.uint8)
            Image.fromarray(small).resize((SIDE, SIDE), Image.Resampling.BILINEAR).save(path, quality=80)


def measure(folder: Path, keep: str, cache: Path) -> dict[str, Any]:
    """What --dry-run says of the run, and the seconds of the whole call."""
    place = ("--keep", keep, *(("--cache", str(cache)) if keep == "disk" else ()))
    start = time.perf_counter()
    result = distil("--dataset", str(folder), *RUN, *place, "--dry-run")
    return result | {"seconds_of_call": time.perf_counter() - start}


def compare(folder: Path, cache: Path, rounds: int) -> list[dict[str, Any]]:
    """A row for each place of the images: medians of the rounds, in which they take turns."""
    results: dict[str, list[dict[str, Any]]] = {"memory": [], "disk": []}
    first = measure(folder, "disk", cache)  # decodes the pictures
    for _ in range(rounds):
        for keep, rows in results.items():
            rows.append(measure(folder, keep, cache))
    torch_alone = float(
        subprocess.run([sys.executable, "-c", READ_PEAK], capture_output=True, check=True).stdout
    )
    return [
        {
            "keep": keep,
            "milliseconds": 1000 * statistics.median(r["seconds_per_step"] for r in rows),
            "mib_beside_torch": max(r["peak_mib"] for r in rows) - torch_alone,
            "seconds_of_call": statistics.median(r["seconds_of_call"] for r in rows),
            "seconds_of_first_call": first["seconds_of_call"] if keep == "disk" else None,
        }
        for keep, rows in results.items()
    ]


def table(rows: list[dict[str, Any]]) -> str:
    """The rows, and how fast each is beside the first."""
    head = ["images", "ms of an outer step", "speed over memory", "MiB beside torch", "s to the first step"]
    return markdown(head, [
        [row["keep"], f"{row['milliseconds']:.0f}", f"{rows[0]['milliseconds'] / row['milliseconds']:.2f}",
         f"{row['mib_beside_torch']:,.0f}", f"{row['seconds_of_call']:.0f}"]
        for row in rows
    ])  # fmt: skip


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--folder", type=Path, required=True, help="where the pictures and their cache are")
    parser.add_argument("--count", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    pictures = options.folder / f"pictures-{options.count}"
    write_pictures(pictures, options.count)
    rows = compare(pictures, options.folder / "cache", options.rounds)
    path = write_results("pictures", "python -m benchmarks.pictures", {"count": options.count, "rows": rows})
    path.with_suffix(".md").write_text(table(rows) + "\n", encoding="utf-8")
    print(table(rows))


if __name__ == "__main__":
    main()
