"""Cases of the accuracy benchmarks: run what is missing, keep earlier measurements, write the table."""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import machine
from distill.sets.distilled import DistilledSet

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Case:
    """One row of a table: a main job's verb and arguments, and their seeds."""

    name: str
    arguments: tuple[str, ...]
    seeds: tuple[int, ...] = (0, 1, 2)
    verb: str = "image"


def folder(root: Path, case: Case, seed: int) -> Path:
    return root / f"{case.name.replace(' = ', '').replace(', ', '-')}-s{seed}"


def distil(root: Path, case: Case, seed: int) -> None:
    """Run the main job as a user would, its output in a log beside its folder; or go on with it."""
    out = folder(root, case, seed)
    if (out / "set.pt").exists():
        return
    arguments = ["--resume", str(out), *find_data(case)] if (out / "checkpoint.pt").exists() else [
        *case.arguments, "--seed", str(seed), "--out", str(out), "--overwrite",
    ]  # fmt: skip
    with open(out.with_suffix(".log"), "w") as log:
        line = [sys.executable, "-m", "distill", case.verb, *arguments]
        code = subprocess.run(line, stdout=log, stderr=subprocess.STDOUT, check=False).returncode
    print(f"{out.name}: {'done' if code == 0 else f'failed, see {log.name}'}", flush=True)


def find_data(case: Case) -> tuple[str, ...]:
    """The option that says where the data of a case are: a run that goes on needs it, too."""
    words = case.arguments
    return next((words[i : i + 2] for i, word in enumerate(words) if word == "--data-dir"), ())


def make_parser(description: str | None, name: str) -> argparse.ArgumentParser:
    """The options of every accuracy benchmark."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--jobs", type=int, default=2, help="runs at a time, one thread each")
    parser.add_argument("--only", nargs="*", help="these cases alone, by the names of the table")
    parser.add_argument("--out", type=Path, default=Path(f"runs/bench-{name}"))
    parser.add_argument("--table", action="store_true", help="only write the table of what is there")
    return parser


def benchmark(
    name: str,
    cases: Sequence[Case],
    options: argparse.Namespace,
    row: Callable[[Path, Case], dict[str, Any] | None],
    table: Callable[[Rows], str],
) -> None:
    """Run what is missing, print the table, write benchmarks/results/NAME.json and NAME.md.

    A row of which no set is here stays as it was measured, with its date.
    """
    options.out.mkdir(parents=True, exist_ok=True)
    names = options.only or [case.name for case in cases]
    runs = [(c, s) for c in cases for s in c.seeds if c.name in names and not options.table]
    with ThreadPoolExecutor(options.jobs) as pool:
        list(pool.map(lambda pair: distil(options.out, *pair), runs))
    new_rows = {case.name: r for case in cases if (r := row(options.out, case))}
    rows = list((read_rows(name) | new_rows).values())
    if not rows:
        print("nothing is measured yet")
        return
    print(table(rows))
    path = machine.write_results(name, f"make bench-{name}", {"jobs": options.jobs, "rows": rows})
    path.with_suffix(".md").write_text(table(rows) + "\n", encoding="utf-8")
    print(path)


def read_row(root: Path, case: Case, settings: Sequence[str]) -> dict[str, Any] | None:
    """The row of a case of one seed, from its set; None where it is not done."""
    path = folder(root, case, case.seeds[0]) / "set.pt"
    if not path.exists():
        return None
    data = DistilledSet.load(path)
    scores, provenance = data.scores, data.provenance
    return {
        "case": case.name,
        "command": f"distill {case.verb} {' '.join(Path(word).name for word in case.arguments)}",
        "accuracy": scores["accuracy"],
        "full_data": scores["full_data"],
        "random_real": scores["baselines"].get("random-real"),
        "k_means": scores["baselines"].get("k-means"),
        "seconds": round(provenance["seconds"], 1),
        "outer_steps": provenance["outer_steps"],
        "created": provenance["created"],
        "settings": {name: provenance["config"][name] for name in settings},
    }


def measure_students(path: Path, name: str, arguments: Sequence[str]) -> dict[str, Any]:
    """What `distill student` says of new networks on a set, measured once and kept beside it as NAME.json."""
    out = path.with_name(f"{name}.json")
    if not out.exists():
        line = [
            sys.executable,
            "-m",
            "distill",
            "student",
            str(path),
            *arguments,
            "--init",
            "random",
            "--json",
        ]
        result = subprocess.run(line, stdout=subprocess.PIPE, text=True, check=True).stdout
        out.write_text(result.splitlines()[-1], encoding="utf-8")
    scores: dict[str, Any] = json.loads(out.read_text(encoding="utf-8"))
    return scores


def percent(score: dict[str, Any] | None) -> str:
    """'85.2 ± 1.3 %', or '85.2 %' of a single network, or '-'."""
    if score is None:
        return "-"
    spread = f" ± {100 * score['std']:.1f}" if score["n"] > 1 else ""
    return f"{100 * score['mean']:.1f}{spread} %"


def percent_of_all(share: float | None) -> str:
    """'99.4 %', the accuracy with all real data, or '-' where it was not measured."""
    return "-" if share is None else f"{100 * share:.1f} %"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [f"| {' | '.join(cells)} |" for cells in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])


def read_rows(name: str) -> dict[str, dict[str, Any]]:
    """The rows of the results file, by case."""
    path = machine.RESULTS / f"{name}.json"
    if not path.exists():
        return {}
    results = json.loads(path.read_text(encoding="utf-8"))
    return {r["case"]: {"created": results["machine"]["date"], **r} for r in results["rows"]}
