"""Sets, and baselines of their size, by the protocols and networks that anybody may train with.

`python -m benchmarks.standard SET.pt … --protocols dc adam --networks convnet lenet --seeds 5` measures every
cell (a set, a protocol, a network) by distill.student.evaluate, the cheapest first, and writes each at once
to benchmarks/results/standard.json, with a table beside it. A cell that is there is not measured again, so
that a stopped benchmark goes on. Without files the sets are those of zoo/ for random initialisations. A
protocol or a network may have settings, as dc:epochs=100 or convnet:width=64; the network "own" is the set's.
"""

import argparse
import ast
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, is_dataclass, replace
from pathlib import Path
from typing import Any

import torch

import distill
from benchmarks import machine
from benchmarks.cases import markdown, percent
from benchmarks.standard_scores import save_rows
from benchmarks.standard_sets import BASELINES, Items, data_word, list_items, load_splits
from distill.data.dataset import Dataset
from distill.errors import UserError
from distill.networks.build import build_network
from distill.registry import find
from distill.runs.files.machine import speed_up_cpu
from distill.sets.distilled import DistilledSet
from distill.student import PROTOCOLS, evaluate, initial_weights
from distill.student.scores import Report

ZOO = Path(__file__).parents[1] / "zoo"
NETWORKS = ("convnet", "lenet", "mlp", "alexnet", "vgg11", "resnet18")  # those of DC's table
STEPS = {"recipe": 20, "ordinary": 100, "dc": 300, "dsa": 1000, "mtt": 1000, "frepo": 1000, "adam": 200}
MILLISECONDS = {"mlp": 1, "lenet": 2, "convnet": 60, "alexnet": 60, "vgg11": 160, "resnet18": 350}
OWN_STEPS, OWN_MILLISECONDS = 300, 20  # of a protocol and a network that is not above
OWN_RECIPES = ("recipe", "recommended")  # belong to a file: a baseline has none
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Cell:
    """One measurement: students of a network that train on items by a protocol."""

    items: Items
    protocol: str
    network: str
    seeds: int

    @property
    def seconds(self) -> float:
        """About what it takes, by steps of ten items: it orders the cells, and no figure rests on it."""
        steps = STEPS.get(split_settings(self.protocol)[0], OWN_STEPS)
        each = MILLISECONDS.get(split_settings(self.network)[0].split("-")[0], OWN_MILLISECONDS)
        return self.seeds * steps * each / 1000 * max(1.0, len(self.items) / 10)

    def key(self, test_items: int) -> dict[str, Any]:
        """What is equal in two measurements of the same."""
        return {
            "items": self.items.name,
            "fingerprint": self.items.fingerprint,
            "protocol": self.protocol,
            "settings": describe_protocol(build_protocol(self.protocol), self.items.data),
            "network": self.network,
            "seeds": self.seeds,
            "test_items": test_items,
        }


# Protocols and networks with settings


def split_settings(text: str) -> tuple[str, dict[str, Any]]:
    """A word and its settings: "convnet:width=64,norm=batch" is ("convnet", {"width": 64, "norm": "batch"}).

    Raises UserError for a setting without a value.
    """
    word, _, rest = text.partition(":")
    pairs = [part.partition("=") for part in rest.split(",") if part]
    if any(not value for _, _, value in pairs):
        raise UserError(f"{text} has a setting without a value: write it as in dc:epochs=100")
    return word, {name: read_value(value) for name, _, value in pairs}


def read_value(text: str) -> Any:
    """A number, True, False or None; anything else is a word."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def build_protocol(text: str) -> Any:
    """The protocol of a word with settings; another word than the table's is left to evaluate().

    Raises UserError for a setting that the protocol lacks.
    """
    word, settings = split_settings(text)
    if word not in PROTOCOLS:
        return text
    try:
        return find(PROTOCOLS, "protocol", word)(**settings)
    except TypeError as error:
        raise UserError(f"the protocol {text} cannot be built: {error}") from None


def describe_protocol(protocol: Any, data: DistilledSet) -> Any:
    """The settings of a protocol as JSON holds them; of one that the file names, what the file says."""
    settings = getattr(data, "protocol", None)
    if is_dataclass(protocol) and not isinstance(protocol, type):
        settings = asdict(protocol)
    return json.loads(json.dumps(settings, default=describe_value))


def describe_value(value: Any) -> str:
    """An object without its address: "Adam(lr=0.001)" for a functools.partial."""
    function, keywords = getattr(value, "func", value), getattr(value, "keywords", {})
    name = getattr(function, "__name__", type(function).__name__)
    return f"{name}({', '.join(f'{k}={v}' for k, v in keywords.items())})"


def choose_network(text: str, data: DistilledSet) -> Any:
    """What evaluate() takes: None for the set's own network, else a module. Raises UserError.

    A ConvNet has the padding of DC's code, which makes grey images of 28×28 as large as 32×32.
    """
    word, arguments = split_settings(text)
    if word == "own":
        return None
    shape, classes = tuple(data.items.shape[1:]), data.labels.shape[1]
    if word.startswith("convnet") and shape[0] == 1:
        arguments = {"padding": 3} | arguments
    return build_network(word, shape, classes, **arguments)


# Measuring


def list_cells(items: Sequence[Items], options: argparse.Namespace) -> list[Cell]:
    """Every set and baseline by every protocol and network, the cheapest first; no baseline by a recipe.

    Raises UserError for a setting that a protocol lacks.
    """
    for protocol in options.protocols:
        build_protocol(protocol)
    cells = [
        Cell(part, protocol, network, options.seeds)
        for part in items
        for protocol in options.protocols
        for network in options.networks
        if not (part.is_baseline and split_settings(protocol)[0] in OWN_RECIPES)
    ]
    return sorted(cells, key=lambda cell: cell.seconds)


def measure(cell: Cell, test: Dataset) -> tuple[float, ...]:
    """The test accuracy of each seed's student, from the weights of its number, which no set has seen.

    Of random items each student has others. The own network by the own recipe starts as the set was learned.
    """
    data, protocol = cell.items.data, build_protocol(cell.protocol)
    network = choose_network(cell.network, data)
    if cell.items.draw is None:
        init = None if cell.network == "own" and cell.protocol == "recipe" else "random"
        return evaluate(data, test, network, init, cell.seeds, protocol).scores
    scores: list[float] = []
    for seed in range(cell.seeds):
        drawn = cell.items.draw(seed)
        (weights,) = initial_weights(drawn, network, "random", 1, first=seed)
        drawn = replace(drawn, init_state=weights)
        scores += evaluate(drawn, test, network, "fixed", 1, protocol).scores
    return tuple(scores)


def measure_row(cell: Cell, test: Dataset) -> dict[str, Any]:
    """The row of a cell: its key, the scores, the seconds, and on which machine by which version."""
    start = time.perf_counter()
    report = Report(cell.items.name, measure(cell, test))
    return {
        **cell.key(len(test)),
        "data": data_word(cell.items.data),
        "size": len(cell.items),
        "scores": list(report.scores),
        **report.summary(),
        "seconds": round(time.perf_counter() - start, 1),
        "version": distill.__version__,
        "machine": machine.machine(),
    }


def run_cells(cells: Sequence[Cell], options: argparse.Namespace) -> None:
    """Measure each cell that the results lack, and write it at once; a refusal is printed and left out."""
    for k, cell in enumerate(cells, 1):
        title = f"{k} of {len(cells)}: {cell.items.name}, {cell.protocol}, {cell.network}"
        test = load_splits(cell.items.data.source["name"], options.data_dir)[1]
        test = test.select(torch.arange(len(test))[: options.test_items])
        try:
            if has_row(read_rows(options.results), cell.key(len(test))):
                continue
            print(f"{title}, about {cell.seconds:.0f} s", file=sys.stderr, flush=True)
            row = measure_row(cell, test)
        except UserError as error:
            print(f"{title}: {error}", file=sys.stderr, flush=True)
            continue
        write_rows(options.results, [*read_rows(options.results), row])
        print(f"{title}: {percent(row)} in {row['seconds']:.0f} s", flush=True)


def has_row(rows: Rows, key: dict[str, Any]) -> bool:
    """Whether one of the rows has this key."""
    return any(all(row.get(name) == value for name, value in key.items()) for row in rows)


def read_rows(name: str) -> Rows:
    """The rows of benchmarks/results/NAME.json."""
    path = machine.RESULTS / f"{name}.json"
    rows: Rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if path.exists() else []
    return rows


def write_rows(name: str, rows: Rows) -> Path:
    """benchmarks/results/NAME.json, whole or not at all, and the table beside it."""
    path = machine.write_results(name, "make bench-standard", {"rows": rows})
    path.with_suffix(".md").write_text(table(rows) + "\n", encoding="utf-8")
    return path


# The table


def table(rows: Rows) -> str:
    """Items by protocol down, networks across, then the mean and the worst of a row's networks.

    Of two measurements of one place the later one, and "-" where there is none.
    """
    networks = list(dict.fromkeys(row["network"] for row in rows))
    cells = {(row["items"], row["protocol"], row["network"]): row for row in rows}
    places = sorted({(r["data"], r["size"], r["protocol"], r["items"]) for r in rows})
    lines = []
    for _, _, protocol, items in places:
        found = [cells.get((items, protocol, network)) for network in networks]
        means = [100 * cell["mean"] for cell in found if cell]
        summary = [f"{sum(means) / len(means):.1f}", f"{min(means):.1f}"] if all(found) else ["-", "-"]
        lines.append([items, protocol, *(percent(cell) for cell in found), *summary])
    return markdown(["items", "protocol", *networks, "mean", "worst"], lines)


def list_zoo() -> list[Path]:
    """The sets of the zoo for random initialisations."""
    return [path for path in sorted(ZOO.glob("*.pt")) if DistilledSet.load(path).init_state is None]


def make_parser() -> argparse.ArgumentParser:
    """The options."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", type=Path, help="files of sets (default: zoo/, random ones)")
    parser.add_argument("--protocols", nargs="+", default=["recipe", "dc"], help=", ".join(PROTOCOLS))
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), help='or "own", the set\'s')
    parser.add_argument("--baselines", nargs="*", default=list(BASELINES), choices=list(BASELINES))
    parser.add_argument("--seeds", type=int, default=5, help="students of each cell")
    parser.add_argument("--data-dir", type=Path, help="the folder with fashion-mnist/ and cifar10.npz")
    parser.add_argument("--test-items", type=int, help="only the first so many, for a trial")
    parser.add_argument("--results", default="standard", help="the name of the files in benchmarks/results/")
    parser.add_argument("--save", action="store_true", help="put the first network's scores into the files")
    parser.add_argument("--table", action="store_true", help="only write the table of what is there")
    return parser


def main() -> None:
    """The command."""
    options = (parser := make_parser()).parse_args()
    speed_up_cpu(1)
    if not options.table:
        sets = options.sets or list_zoo()
        try:
            cells = list_cells(list_items(sets, options.baselines, options.data_dir), options)
        except UserError as error:
            parser.error(str(error))
        minutes = sum(cell.seconds for cell in cells) / 60
        print(f"{len(cells)} cells, about {minutes:.0f} minutes if none is there", file=sys.stderr)
        run_cells(cells, options)
    if rows := read_rows(options.results):
        write_rows(options.results, rows)
        print(table(rows))
    if options.save:
        words = {p: build_protocol(p) for p in options.protocols if p not in OWN_RECIPES}
        rows = [row for row in read_rows(options.results) if row["network"] == options.networks[0]]
        save_rows(options.sets, words, rows)


if __name__ == "__main__":
    main()
