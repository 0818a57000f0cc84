"""Milliseconds of an outer step of each method as a run makes it, device beside device.

`python -m benchmarks.devices` asks --dry-run for MNIST, 10 images, ConvNets of width 128 on a GPU, or with
`--device cpu` on one thread, and adds a column to benchmarks/results/devices.json and devices.md.
"""

import argparse
import json
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from io import StringIO
from multiprocessing import get_context

import torch

from benchmarks.cases import Rows, markdown, read_rows
from benchmarks.machine import machine, write_results
from distill.commands.image import main as image

METHODS = ("unroll", "rat-bptt", "frepo", "rcig", "dc", "dm")
COMMON = (
    "--n", "10", "--init", "random", "--network", "convnet", "--width", "128", "--start", "means",
    "--test-networks", "1", "--baseline-networks", "0", "--full-data-networks", "0", "--dc-networks", "0",
)  # fmt: skip


def measure(method: str, device: str) -> float:
    """Milliseconds of an outer step."""
    output = StringIO()
    with redirect_stdout(output):
        assert image([*COMMON, "--method", method, "--device", device, "--dry-run", "--json"]) == 0
    return float(1000 * json.loads(output.getvalue().splitlines()[-1])["seconds_per_step"])


def name_device(device: str) -> str:
    """'NVIDIA H100' or 'one thread of an AMD EPYC'."""
    if device.startswith("cuda"):
        return str(torch.cuda.get_device_name(device))
    return f"one thread of {machine()['processor']}"


def merge(old: Rows, new: Rows) -> Rows:
    """The new rows, each with what the old row of its method says of other devices; other old rows stay."""
    before = {row["case"]: row["milliseconds"] for row in old}
    after = {row["case"]: {**before.get(row["case"], {}), **row["milliseconds"]} for row in new}
    return [{"case": method, "milliseconds": times} for method, times in {**before, **after}.items()]


def table(rows: Rows) -> str:
    """Milliseconds on each device."""
    devices = list(dict.fromkeys(device for row in rows for device in row["milliseconds"]))
    cells = [
        [f"{row['milliseconds'][d]:.1f}" if d in row["milliseconds"] else "-" for d in devices]
        for row in rows
    ]
    head = ["method", *(f"{device}, ms" for device in devices)]
    return markdown(head, [[row["case"], *line] for row, line in zip(rows, cells, strict=True)])


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--jobs", type=int, default=1, help="methods at a time, each on a core of its own")
    options = parser.parse_args()
    device = name_device(options.device)
    with ProcessPoolExecutor(options.jobs, get_context("spawn")) as pool:
        times = list(pool.map(measure, options.methods, [options.device] * len(options.methods)))
    new = [{"case": m, "milliseconds": {device: t}} for m, t in zip(options.methods, times, strict=True)]
    rows = merge(list(read_rows("devices").values()), new)
    print(table(rows))
    path = write_results("devices", "make bench-devices", {"rows": rows})
    path.with_suffix(".md").write_text(table(rows) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
