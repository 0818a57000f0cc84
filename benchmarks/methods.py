"""Every method at equal seconds of one thread, on one page.

`python -m benchmarks.methods --data-dir DIR --minutes 2 10 60` distils MNIST, Fashion-MNIST and CIFAR-10 by
each method, n = 10 and 100, measures the sets by `recipe` and `dc` on the networks of benchmarks.standard and
writes benchmarks/results/methods.json and methods.md (the runs), methods-summary.md (their accuracy alone),
methods-scores.json (the scores) and the curves to docs/assets. What is there is not run again, so a stopped
benchmark goes on; --data, --n, --only and --minutes select. DIR holds fashion-mnist/ and cifar10.npz; sets
that are not there are passed over.
"""

import argparse
import itertools
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.ticker import FixedLocator, NullFormatter, ScalarFormatter

from benchmarks import standard
from benchmarks.cases import Case, benchmark, folder, make_parser, markdown, percent, read_row, read_rows
from benchmarks.standard_sets import list_items
from distill.runs.files.machine import speed_up_cpu
from distill.sets.distilled import DistilledSet

COMMON = (
    "--init", "random", "--width", "64", "--test-networks", "3", "--baseline-networks", "0", "--dc-networks",
    "0", "--full-data-networks", "0",
)  # fmt: skip
DATA = ("mnist", "fashion-mnist", "cifar10")
DSA = {"mnist": "crop-cutout-scale-rotate"}  # changes of images, digits without a flip
DSA_OF_PHOTOS = "color-crop-cutout-flip-scale-rotate"
REGRESSIONS = ("frepo", "rcig")  # learn colours best on networks without a norm
METHODS = {  # the words of a row
    "unroll": ("--method", "unroll"),
    "frepo": ("--method", "frepo"),
    "rcig": ("--method", "rcig"),
    "rat-bptt": ("--method", "rat-bptt"),
    "dc": ("--method", "dc", "--updates", "3"),
    "dsa": ("--method", "dc", "--updates", "3"),
    "idc": ("--method", "dc", "--updates", "3", "--parametrisation", "multi-formation", "--factor", "2"),
    "dm": ("--method", "dm"),
    "mtt": (
        "--method", "mtt", "--expert-count", "4", "--expert-epochs", "20", "--expert-items", "1000",
        "--expert-lr", "0.02", "--expert-batch", "64", "--max-start-epoch", "5",
    ),
}  # fmt: skip
TICKS = [k * 10**d for d in range(1, 5) for k in (1, 2, 5)]  # of the axis of seconds
SUMMARY = Path(__file__).parent / "results" / "methods-summary.md"
ASSETS = Path(__file__).parents[1] / "docs" / "assets"
SETTINGS = ("inner_steps", "rule", "lr", "batch", "outer_batch", "outer_lr", "start", "augment")


def name_case(data: str, n: int, method: str, minutes: float) -> str:
    """'mnist, n = 10, dc, 2 min'."""
    return f"{data}, n = {n}, {method}, {minutes:g} min"


def list_cases(options: argparse.Namespace) -> list[Case]:
    """The runs of the options, the shortest first."""
    places = itertools.product(sorted(options.minutes), options.data, options.n, options.methods)
    return [
        Case(name_case(data, n, method, minutes), arguments, (0,))
        for minutes, data, n, method in places
        if (arguments := list_arguments(data, n, method, minutes, options.data_dir))
    ]


def list_arguments(
    data: str, n: int, method: str, minutes: float, data_dir: Path | None
) -> tuple[str, ...] | None:
    """The arguments of a run; None where the data are not there."""
    place = find_data(data, data_dir)
    if place is None:
        return None
    choices = (*METHODS[method], *choose_network(data, method), *choose_changes(data, method))
    return ("--n", str(n), *place, *choices, "--distil-minutes", f"{minutes:g}", *COMMON)


def choose_network(data: str, method: str) -> tuple[str, ...]:
    """The network of a row; photos are whitened."""
    if data != "cifar10":
        return ("--network", "convnet")
    return ("--zca", "--network", "convnet-doubling" if method in REGRESSIONS else "convnet")


def choose_changes(data: str, method: str) -> tuple[str, ...]:
    """The random changes of images in a row."""
    if method in ("dsa", "dm"):
        return ("--augment", DSA.get(data, DSA_OF_PHOTOS))
    if data == "mnist" or method == "unroll":
        return ()
    return ("--pool-augment" if method == "rat-bptt" else "--augment", "flip")


def find_data(data: str, data_dir: Path | None) -> tuple[str, ...] | None:
    """The options that name the data; None where they are not there."""
    if data == "mnist":
        return ("--dataset", data)
    path = (data_dir or Path()) / (data if data == "fashion-mnist" else f"{data}.npz")
    if data_dir is None or not path.exists():
        return None
    return ("--dataset", data, "--data-dir", str(data_dir)) if path.is_dir() else ("--dataset", str(path))


# Rows and scores


def row(root: Path, case: Case) -> dict[str, Any] | None:
    """The row of a run: its score by its own recipe, seconds, memory, and the bytes of its file."""
    read = read_row(root, case, SETTINGS)
    if read is None:
        return None
    path = folder(root, case, 0) / "set.pt"
    peak, curve = DistilledSet.load(path).provenance["peak_mib"], read_curve(path.with_name("log.jsonl"))
    return read | {"peak_mib": peak, "bytes": path.stat().st_size, "curve": curve}


def read_name(case: str) -> tuple[str, int, str, float]:
    """(data, n, method, minutes) from the name of a case."""
    data, n, method, minutes = case.split(", ")
    return data, int(n.removeprefix("n = ")), method, float(minutes.removesuffix(" min"))


def place_of(row: dict[str, Any]) -> tuple[int, int, int, float]:
    """Where a row stands in the table: by n, data, method and minutes."""
    data, n, method, minutes = read_name(row["case"])
    return n, DATA.index(data), list(METHODS).index(method), minutes


def summary(rows: list[dict[str, Any]]) -> str:
    """The scores alone: a line for each method, a column for each data set, the times side by side."""
    scores: dict[tuple[str, str], list[str]] = {}
    for row in sorted(rows, key=place_of):
        data, n, method, _ = read_name(row["case"])
        cell = scores.setdefault((method, f"{data}, {n}"), [])
        cell.append(f"{100 * row['accuracy']['mean']:.1f}")
    columns = list(dict.fromkeys(column for _, column in scores))
    return markdown(["method", *columns], [
        [method, *(" → ".join(scores.get((method, column), ["-"])) for column in columns)]
        for method in METHODS
    ])  # fmt: skip


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as a Markdown table."""
    head = ["run", "recipe", "outer steps", "seconds", "peak MiB", "bytes"]
    return markdown(head, [
        [r["case"], percent(r["accuracy"]), f"{r['outer_steps']:,}", f"{r['seconds']:.0f}",
         f"{r['peak_mib']:.0f}", f"{r['bytes']:,}"]
        for r in sorted(rows, key=place_of)
    ])  # fmt: skip


def score(paths: list[Path], options: argparse.Namespace) -> None:
    """The sets and class means by protocols on networks, in methods-scores.json; what is there stays."""
    choice = argparse.Namespace(
        protocols=options.protocols, networks=options.networks, seeds=options.seeds, test_items=None,
        data_dir=options.data_dir, results="methods-scores",
    )  # fmt: skip
    items = [
        replace(part, name=path.parent.name)
        for path in paths
        for part in list_items([path], [], options.data_dir)
    ]
    means = list_items(paths, ["means"], options.data_dir)[len(paths) :]
    standard.run_cells(standard.list_cells([*items, *means], choice), choice)


# The picture of a data set


def read_curve(log: Path) -> list[tuple[float, float]]:
    """(seconds, held-out accuracy in percent) of a run."""
    records = map(json.loads, log.read_text(encoding="utf-8").splitlines())
    return [(r["seconds"], 100 * r["validation"]) for r in records if "validation" in r]


def draw(rows: dict[str, dict[str, Any]], data: str, n: int) -> Path | None:
    """Held-out accuracy against seconds, of each method its longest run.

    None where no run is measured, or the curve of one is not kept: the picture that is there has it.
    """
    selected = {name: r for name, r in rows.items() if name.startswith(f"{data}, n = {n}, ")}
    ordered = sorted(selected.items(), key=lambda pair: float(pair[1]["seconds"]))
    longest = {name.split(", ")[2]: r for name, r in ordered}
    if not selected or any("curve" not in r for r in longest.values()):
        return None
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    curves = {method: r["curve"] for method, r in longest.items() if r["curve"]}
    for method in sorted(curves, key=lambda m: -curves[m][-1][1]):  # the best is first in the legend
        color = f"C{list(METHODS).index(method)}"  # of a method, in all pictures
        axes.plot(*zip(*curves[method], strict=True), label=method, color=color, marker="o", markersize=4)
    axes.set(xscale="log", xlabel="seconds of one thread", ylabel="held-out accuracy by its recipe, %")
    axes.xaxis.set_major_locator(FixedLocator(TICKS))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_formatter(NullFormatter())
    first = min([30, *(curve[0][0] for curve in curves.values())])
    axes.set_xlim(first, 2 * max(r["seconds"] for r in selected.values()))
    axes.set_title(f"{data}, {n} images")
    axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    axes.spines[["top", "right"]].set_visible(False)
    path = ASSETS / f"methods-{data}-{n}.png"
    figure.savefig(path, dpi=110)
    plt.close(figure)
    return path


def parse_options() -> argparse.Namespace:
    """The options."""
    parser = make_parser(__doc__, "methods")
    parser.add_argument("--data-dir", type=Path, help="the folder with fashion-mnist/ and cifar10.npz")
    parser.add_argument("--data", nargs="+", default=list(DATA), choices=list(DATA))
    parser.add_argument("--n", nargs="+", type=int, default=[10, 100])
    parser.add_argument("--minutes", nargs="+", type=float, default=[2, 10, 60], help="of distilling")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=list(METHODS))
    parser.add_argument("--protocols", nargs="*", default=["recipe", "dc"], help="none: only distil")
    parser.add_argument("--networks", nargs="+", default=["own", *standard.NETWORKS])
    parser.add_argument("--seeds", type=int, default=3, help="students of each score")
    return parser.parse_args()


def main() -> None:
    """The command."""
    options = parse_options()
    cases = list_cases(options)
    benchmark("methods", cases, options, row, table)
    speed_up_cpu(1)
    paths = [p for case in cases if (p := folder(options.out, case, 0) / "set.pt").exists()]
    if options.protocols and paths and not options.table:
        score(paths, options)
    rows = read_rows("methods")
    SUMMARY.write_text(summary(list(rows.values())) + "\n", encoding="utf-8")
    for data, n in itertools.product(options.data, options.n):
        if picture := draw(rows, data, n):
            print(picture)


if __name__ == "__main__":
    main()
