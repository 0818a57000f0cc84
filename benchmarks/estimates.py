"""What --dry-run says beside what the run then takes.

`python -m benchmarks.estimates` asks and runs each case, and writes benchmarks/results/estimates.json and
estimates.md: seconds of distilling and of measuring, and the peak of memory.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from typing import Any

from benchmarks.cases import markdown
from benchmarks.machine import write_results
from distill.sets.distilled import DistilledSet

RANDOM = ("--init", "random", "--full-data-networks", "0", "--dc-networks", "0")
CONVNET = (*RANDOM, "--network", "convnet", "--width", "32", "--test-networks", "2")
CASES = {
    "5 images, fixed LeNet, 400 steps": ("--n", "5", "--outer-steps", "400"),
    "10 images, MLP, frepo, 2,000 steps": (
        *RANDOM, "--n", "10", "--network", "mlp", "--method", "frepo", "--outer-steps", "2000",
        "--test-networks", "5",
    ),
    "10 images, ConvNet, dm, 200 steps": (*CONVNET, "--n", "10", "--method", "dm", "--outer-steps", "200"),
    "20 images, ConvNet, unroll, 60 steps": (
        *CONVNET, "--n", "20", "--method", "unroll", "--outer-steps", "60",
    ),
    "10 images, ConvNet, rat-bptt, half a minute": (
        *CONVNET, "--n", "10", "--method", "rat-bptt", "--start", "means", "--distil-minutes", "0.5",
        "--baseline-networks", "0",
    ),
}  # fmt: skip


def distil(*arguments: str) -> dict[str, Any]:
    """The result of a run as --json prints it."""
    line = [sys.executable, "-m", "distill", "image", "--json", *arguments]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def compare(name: str) -> dict[str, Any]:
    """The row of a case: estimates and what was measured, in seconds and MiB."""
    estimate = distil(*CASES[name], "--dry-run")
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        result = distil(*CASES[name], "--out", f"{folder}/run")
        seconds = time.perf_counter() - start
        peak = DistilledSet.load(result["path"]).provenance["peak_mib"]
    return {
        "case": name,
        "outer_steps": [estimate["outer_steps"], result["outer_steps"]],
        "distilling": [estimate["seconds"], result["seconds"]],
        "whole": [estimate["total_seconds"], seconds],
        "peak_mib": [estimate["peak_mib"], peak],
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Estimate, measured and their ratio, for each row."""
    columns = ("outer_steps", "distilling", "whole", "peak_mib")
    head = ["run", "outer steps", "seconds of distilling", "seconds of the run", "peak MiB (so far)"]
    return markdown(head, [[row["case"], *(describe(*row[name]) for name in columns)] for row in rows])


def describe(estimate: float, measured: float) -> str:
    """'33 for 31 (1.06)'."""
    return f"{estimate:,.0f} for {measured:,.0f} ({estimate / measured:.2f})"


def main() -> None:
    """The command."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    rows = [compare(name) for name in CASES]
    path = write_results("estimates", "python -m benchmarks.estimates", {"rows": rows})
    path.with_suffix(".md").write_text(table(rows) + "\n", encoding="utf-8")
    print(table(rows))


if __name__ == "__main__":
    main()
