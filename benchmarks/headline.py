"""The README's tables and its chart: rows of the other benchmarks, each beside its strongest baseline.

`python -m benchmarks.headline` measures nothing: it reads results/*.json and writes results/headline.md.
"""

import json
from functools import cache
from typing import Any, NamedTuple

from benchmarks import machine, zoo
from benchmarks.cases import markdown, percent
from benchmarks.published import PUBLISHED
from distill.sets.distilled import DistilledSet
from distill.sets.storage import write_text

BASELINES = {"random_real": "random real", "k_means": "k-means"}
Score = dict[str, Any]


class Row(NamedTuple):
    """A row of results/FILE.json in the README's words."""

    file: str
    case: str
    data: str
    items: int
    network: str
    weights: str  # "known" or "random"
    compared: str  # the method of benchmarks.published that is quoted beside it, or "-"


ROWS = (
    Row("mnist", "n = 5, soft", "mnist", 5, "LeNet", "known", "SLDD"),
    Row("mnist", "n = 10, soft", "mnist", 10, "LeNet", "known", "SLDD"),
)
TEXTS = (  # sets that are data: within two points by the recipe, and 2,000 steps beyond the protocol adam
    Row("text", "sentences, n = 2, random, by ridge", "sentences", 2, "TextCNN", "random", "-"),
    Row("text", "trec, n = 6, random, by rcig", "trec", 6, "TextCNN", "random", "SLDD"),
    Row("encoders", "trec, n = 6, mlp", "trec", 6, "MLP, MiniLM", "random", "-"),
    Row("encoders", "sst2, n = 2, linear", "sst2", 2, "linear, MiniLM", "random", "-"),
    Row("encoders", "imdb, n = 2, linear", "imdb", 2, "linear, MiniLM", "random", "-"),
)


class LastingRow(NamedTuple):
    """A row of results/standard.json: a set for new ConvNets, and the protocol that it is shown by."""

    items: str  # the name of the set there
    protocol: str
    data: str
    size: int
    compared: str


LASTING = (
    LastingRow("mnist-5-convnet", "dc", "mnist", 5, "-"),
    LastingRow("mnist-10-convnet", "dc", "mnist", 10, "IDC"),
    LastingRow("mnist-100-convnet", "dc", "mnist", 100, "IDC"),
    LastingRow("fashion-mnist-10-convnet", "recipe", "fashion-mnist", 10, "DANCE"),
    LastingRow("fashion-mnist-100-convnet", "recipe", "fashion-mnist", 100, "DREAM"),
    LastingRow("cifar10-10-convnet", "recipe", "cifar10", 10, "RaT-BPTT"),
    LastingRow("cifar10-100-convnet", "recipe", "cifar10", 100, "RaT-BPTT"),
)


TEACHERS = ("cifar10", 100)  # whose baselines, with a teacher's soft labels, are results/decoupled.json


def read_result(row: Row) -> dict[str, Any]:
    """The results of a row. Raises StopIteration where it has no such case."""
    content = json.loads((machine.RESULTS / f"{row.file}.json").read_text(encoding="utf-8"))
    return next(result for result in content["rows"] if result["case"] == row.case)


def strongest_baseline(result: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """The name and the score of the best baseline that was measured."""
    scores = {name: result[key] for key, name in BASELINES.items() if result.get(key)}
    return max(scores.items(), key=lambda pair: float(pair[1]["mean"]))


@cache
def zoo_baselines(data: str, items: int, weights: str) -> tuple[tuple[str, Score], ...]:
    """The names and scores of baselines, by recipe and by protocols, in the zoo's sets of as many items."""
    scores: list[tuple[str, Score]] = []
    for path in sorted(zoo.ZOO.glob("*.pt")):
        saved = DistilledSet.load(path)
        name = saved.source["name"].replace("cifar-10", "cifar10")
        if (name, len(saved), zoo.initial_weights(saved)) != (data, items, weights):
            continue
        for part in (saved.scores, *(saved.scores.get("protocols") or {}).values()):
            scores += [(zoo.BASELINES[key], score) for key, score in part["baselines"].items()]
    return tuple(scores)


def full_data(result: dict[str, Any]) -> float:
    """Accuracy of the same network on all real data."""
    score = result["full_data"]
    return float(score["mean"] if isinstance(score, dict) else score)


def published(data: str, items: int, weights: str, compared: str) -> str:
    """The published figure that is quoted beside a row. Raises StopIteration where there is none."""
    if compared == "-":
        return "-"
    key = (data, items, weights)
    same = (p for p in PUBLISHED if (p.data, p.items, p.weights) == key and p.method == compared)
    return f"{next(same).accuracy} ({compared})"


def known_baseline(row: Row, result: Score) -> tuple[str, Score]:
    """The best baseline of a row, or of the zoo's set of the same kind, which has one of k-means too."""
    baselines = [strongest_baseline(result), *zoo_baselines(row.data, row.items, row.weights)]
    return max(baselines, key=lambda pair: float(pair[1]["mean"]))


def cells(row: Row) -> list[str]:
    """A row of the table."""
    result = read_result(row)
    name, score = known_baseline(row, result)
    return [
        f"{row.data}, {row.items}",
        f"{row.network}, {row.weights}",
        f"**{percent(result['accuracy'])}**",
        f"{percent(score)} ({name})",
        f"{100 * full_data(result):.1f} %",
        published(row.data, row.items, row.weights, row.compared),
    ]


def table() -> str:
    """The rows as a Markdown table."""
    head = ["data, items", "network, initial weights", "test accuracy", "strongest baseline", "all real data"]
    return markdown([*head, "published"], [cells(row) for row in ROWS])


class TextScores(NamedTuple):
    """The scores of a text row: by the set's recipe, so many steps after adam, of baseline and all texts."""

    recipe: dict[str, Any]
    steps_on: dict[str, Any]
    baseline: tuple[str, dict[str, Any]]
    full: float


def text_scores(row: Row) -> TextScores:
    """Those of results/text.json, or of the network of results/encoders.json that the set is for."""
    result = read_result(row)
    if row.file == "text":
        return TextScores(
            result["accuracy"], result["steps_on"], strongest_baseline(result), full_data(result)
        )
    network = result["learned_for"]
    probe = result["networks"][network]
    return TextScores(
        probe["set"]["recipe"], probe["steps_on"], embedding_baseline(row, network), probe["all"]
    )


def embedding_baseline(row: Row, network: str) -> tuple[str, Score]:
    """The best baseline on a network that any set of the same texts and as many items was measured beside."""
    start = f"{row.data}, n = {row.items}, "
    probes = [r["networks"][network] for r in read_rows(row.file) if r["case"].startswith(start)]
    words = {"means": "means", "coreset": "real"}
    scores = [(words[key], probe[key]) for probe in probes for key in words if probe.get(key)]
    return max(scores, key=lambda pair: float(pair[1]["mean"]))


def text_cells(row: Row) -> list[str]:
    """A row of the table of texts."""
    scores = text_scores(row)
    name, baseline = scores.baseline
    return [
        f"{row.data}, {row.items}",
        row.network,
        f"**{percent(scores.recipe)}**",
        percent(scores.steps_on),
        f"{percent(baseline)} ({name})",
        f"{100 * scores.full:.1f} %",
        published(row.data, row.items, row.weights, row.compared),
    ]


def text_table() -> str:
    """The sets of texts that are data as a Markdown table."""
    head = [
        "texts",
        "network",
        "its recipe",
        "2,000 steps on",
        "strongest baseline",
        "all texts",
        "published",
    ]
    return markdown(head, [text_cells(row) for row in TEXTS])


def lasting_cells(row: LastingRow, rows: list[dict[str, Any]]) -> list[str]:
    """A row of the table of sets that last; its baseline is the best by any protocol that was measured."""
    score = next(r for r in rows if r["items"] == row.items and r["protocol"] == row.protocol)
    words = ("means", "random")
    titles = [f"{word}, {row.size} of {row.data}{end}" for word in words for end in ("", ".npz")]
    by_protocols = [r for r in rows if r["items"] in titles]
    others = read_rows("decoupled") if (row.data, row.size) == TEACHERS else by_recipe(row)
    saved = [score for _, score in zoo_baselines(row.data, row.size, "random")]
    baseline = max([*by_protocols, *others, *saved], key=lambda score: float(score["mean"]))
    return [
        f"{row.data}, {row.size}",
        f"`{row.protocol}`",
        f"**{percent(score)}**",
        percent(baseline),
        published(row.data, row.size, "random", row.compared),
    ]


def by_recipe(row: LastingRow) -> list[dict[str, Any]]:
    """The strongest baseline by the recipe of a set of as many images, in results/images.json."""
    case = f"{row.data}, n = {row.size}"
    result = read_result(Row("images", case, row.data, row.size, "ConvNet", "random", "-"))
    return [strongest_baseline(result)[1]]


def read_rows(name: str) -> list[dict[str, Any]]:
    """The rows of results/NAME.json."""
    rows: list[dict[str, Any]] = json.loads((machine.RESULTS / f"{name}.json").read_text("utf-8"))["rows"]
    return rows


def lasting_table() -> str:
    """The sets for new networks as a Markdown table."""
    rows = read_rows("standard")
    head = ["data, images", "by", "test accuracy", "strongest baseline", "published"]
    return markdown(head, [lasting_cells(row, rows) for row in LASTING])


def chart() -> str:
    """The rows as bars, for the first page of the documentation: an SVG, its width 640."""
    bar, left, scale = 26, 210, 3.6
    lines = []
    for k, (name, score, baseline, full) in enumerate(list_bars()):
        y = 24 + bar * k
        lines.append(
            f'<text x="{left - 8}" y="{y + 13}" text-anchor="end">{name}</text>'
            f'<rect x="{left}" y="{y}" width="{scale * score:.1f}" height="9" class="score"/>'
            f'<rect x="{left}" y="{y + 9}" width="{scale * baseline:.1f}" height="9" class="baseline"/>'
            f'<path d="M{left + scale * full:.1f} {y - 1}v20" class="all"/>'
            f'<text x="{left + scale * 100 + 6}" y="{y + 13}">{score:.1f} %</text>'
        )
    height = 34 + bar * len(lines)
    title = "Test accuracy (blue), of the strongest baseline (grey), and of all real data (line)"
    return (
        f'<svg class="bars" viewBox="0 0 640 {height}" role="img" aria-label="{title}" data-search-exclude>'
        f'<text x="{left}" y="12">{title}</text>' + "".join(lines) + "</svg>"
    )


class Bar(NamedTuple):
    """A row of the chart, in percent."""

    name: str
    score: float
    baseline: float
    full: float


def list_bars() -> list[Bar]:
    """The rows of both tables that have a score of all real data."""
    bars = []
    for row in ROWS:
        result = read_result(row)
        score, baseline = result["accuracy"]["mean"], known_baseline(row, result)[1]["mean"]
        name = f"{row.data}, {row.items} ({row.weights})"
        bars.append(Bar(name, 100 * score, 100 * baseline, 100 * full_data(result)))
    for row in TEXTS:
        scores = text_scores(row)
        name = f"{row.data}, {row.items} ({row.network})"
        means = scores.recipe["mean"], scores.baseline[1]["mean"], scores.full
        bars.append(Bar(name, *(100 * mean for mean in means)))
    return bars


def main() -> None:
    """The command."""
    path = machine.RESULTS / "headline.md"
    write_text(path, table() + "\n")
    print(table(), lasting_table(), text_table(), path, sep="\n")


if __name__ == "__main__":
    main()
