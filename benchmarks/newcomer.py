"""Seconds that a newcomer waits: for help, for the first line of the main job, for the score of a set.

`python -m benchmarks.newcomer` takes each `--rounds` times and writes benchmarks/results/newcomer.json.
`--against FOLDER` takes another checkout of the project in turn with this one, and reports the ratios.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.cases import markdown
from benchmarks.machine import write_results

HERE = Path(__file__).parents[1]
CASES = {
    "distill --help": ("distill", "--help"),
    "distill image --help": ("distill", "image", "--help"),
    "distill.mnist --n 5": ("distill.mnist", "--n", "5"),
    "distill student zoo/mnist-10.pt": ("distill", "student", "zoo/mnist-10.pt"),
}


def time_first_line(arguments: tuple[str, ...], checkout: Path) -> float:
    """Seconds from the start of `python -m ARGUMENTS` in a checkout to its first line; then it is stopped."""
    environment = {**os.environ, "PYTHONPATH": str(checkout)}
    with tempfile.TemporaryDirectory() as folder:
        out = ("--out", f"{folder}/run") if "--n" in arguments else ()
        line = [sys.executable, "-m", *arguments, *out]
        start = time.perf_counter()
        run = subprocess.Popen(
            line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=checkout, env=environment
        )
        assert run.stdout is not None
        output = run.stdout.readline()
        seconds = time.perf_counter() - start
        run.kill()
        run.communicate()
    if not output.strip():
        sys.exit(f"python -m {' '.join(arguments)} printed nothing")
    return seconds


def time_case(name: str, rounds: int, other: Path | None) -> dict[str, Any]:
    """The row of a command: this checkout's seconds, and the other's in turn with them."""
    checkouts = [HERE] if other is None else [HERE, other]
    times = [[time_first_line(CASES[name], checkout) for checkout in checkouts] for _ in range(rounds)]
    medians = [statistics.median(column) for column in zip(*times, strict=True)]
    row = {
        "first line of": name,
        "median seconds": round(medians[0], 3),
        "seconds": [round(t[0], 3) for t in times],
    }
    return (
        row
        if other is None
        else {**row, "before": round(medians[1], 3), "ratio": round(medians[0] / medians[1], 3)}
    )


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--against", type=Path, help="another checkout")
    options = parser.parse_args()
    rows = []
    for name in CASES:
        rows.append(time_case(name, options.rounds, options.against))
        print({key: value for key, value in rows[-1].items() if key != "seconds"})
    path = write_results("newcomer", "make bench-newcomer", {"rows": rows})
    path.with_suffix(".md").write_text(table(rows) + "\n", encoding="utf-8")


def table(rows: list[dict[str, Any]]) -> str:
    """The commands as a Markdown table."""
    head = ["command", "seconds to its first line"]
    columns = [[f"`{r['first line of']}`", f"{r['median seconds']:.2f}"] for r in rows]
    if "ratio" in rows[0]:
        head.append("over the checkout before")
        columns = [[*cells, f"{r['ratio']:.2f}"] for cells, r in zip(columns, rows, strict=True)]
    return markdown(head, columns)


if __name__ == "__main__":
    main()
