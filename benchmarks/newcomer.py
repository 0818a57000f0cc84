"""Seconds that a newcomer waits: for `distill --help`, and for the first line of the main job.

`python -m benchmarks.newcomer` takes each `--rounds` times and writes benchmarks/results/newcomer.json.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from typing import Any

from benchmarks.cases import markdown
from benchmarks.machine import write_results


def time_first_line(*arguments: str) -> float:
    """Seconds from the start of `python -m ARGUMENTS` to its first line; then it is stopped."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        line = [
            sys.executable,
            "-m",
            *arguments,
            *(() if "--help" in arguments else ("--out", f"{folder}/run")),
        ]
        run = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        assert run.stdout is not None
        output = run.stdout.readline()
        seconds = time.perf_counter() - start
        run.kill()
        run.communicate()
    if not output.strip():
        sys.exit(f"python -m {' '.join(arguments)} printed nothing")
    return seconds


CASES = {
    "distill --help": ("distill", "--help"),
    "distill image --help": ("distill", "image", "--help"),
    "distill.mnist --n 5": ("distill.mnist", "--n", "5"),
}


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    rows: list[dict[str, Any]] = []
    for name, arguments in CASES.items():
        seconds = [round(time_first_line(*arguments), 3) for _ in range(options.rounds)]
        rows.append({"first line of": name, "median seconds": statistics.median(seconds), "seconds": seconds})
        print(f"{name}: {rows[-1]['median seconds']:.2f} s until its first line")
    path = write_results("newcomer", "make bench-newcomer", {"rows": rows})
    path.with_suffix(".md").write_text(table(rows) + "\n", encoding="utf-8")


def table(rows: list[dict[str, Any]]) -> str:
    """The commands as a Markdown table."""
    head = ["command", "seconds to its first line"]
    return markdown(head, [[f"`{r['first line of']}`", f"{r['median seconds']:.2f}"] for r in rows])


if __name__ == "__main__":
    main()
