"""A few embeddings of a frozen sentence encoder beside coresets of their size and beside all real texts.

`python -m benchmarks.encoders --data-dir DIR --encoder FOLDER` distils every case that has no set yet, and
compares it with real sentences (random, k-means, herding, k-center; hard labels and a teacher's) on new
networks, linear and mlp, by the set's recipe and by Adam. It writes benchmarks/results/encoders.json and a
table. Everything is chosen on held-out texts; the test texts are read once.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.cases import (
    Case,
    benchmark,
    folder,
    make_parser,
    markdown,
    measure_students,
    percent,
)
from distill.commands.compare import main as compare
from distill.sets.distilled import DistilledSet
from distill.student.comparison.table import ALL, BASELINE, SET

OWN_STEPS = ("--rule", "momentum")  # for the set's own 20 steps, at learned rates
RIDGE = ("--method", "frepo", "--networks", "linear", "--label-scale", "40", "--inner-steps", "200")
OWN_STEPS_WORD, RIDGE_WORD = ", own steps", ", ridge"
IMDB = ("--max-length", "128", "--encoder-numbers", "bfloat16")
CASES: list[Any] = [
    ("sst2", 2, "linear"),
    ("sst2", 2, "mlp", *OWN_STEPS, "--outer-lr", "0.01", "--outer-steps", "600"),
    ("sst2", 2, "mlp", *RIDGE, "--outer-steps", "1000"),
    ("trec", 6, "linear"),
    ("trec", 6, "mlp"),
    ("trec", 6, "linear", *OWN_STEPS, "--outer-steps", "1500"),
    ("trec", 6, "mlp", *OWN_STEPS, "--outer-steps", "1500"),
    ("trec", 6, "mlp", *RIDGE, "--outer-steps", "1000"),
    ("imdb", 2, "linear", *IMDB),
    ("imdb", 2, "linear", *OWN_STEPS, "--outer-steps", "1500", *IMDB),
    ("imdb", 2, "mlp", *OWN_STEPS, "--outer-lr", "0.01", "--outer-steps", "600", *IMDB),
]  # set, embeddings, the network that they are learned for, and what differs from the defaults
STEPS_ON = 2000  # beyond the end of the protocol adam: what a set that is data bears
NETWORKS, PROTOCOLS = ("linear", "mlp"), ("recipe", "adam")
MEANS, CORESETS = "means", ("random", "means", "herding", "k-center")


def cases(data_dir: Path, encoder: str) -> list[Case]:
    """The rows whose data are there."""
    rows = []
    for name, n, network, *options in CASES:
        if not (data_dir / name).is_dir():
            continue
        arguments = [
            "--dataset", name, "--data-dir", str(data_dir), "--encoder", encoder, "--n", str(n),
            "--init", "random", "--network", network, "--test-networks", "5",
            "--baseline-networks", "0", "--full-data-networks", "0", *options,
        ]  # fmt: skip
        kind = OWN_STEPS_WORD if "--rule" in options else RIDGE_WORD if "--method" in options else ""
        rows.append(Case(f"{name}, n = {n}, {network}{kind}", tuple(arguments), (0,), "text"))
    return rows


def compare_case(path: Path, data_dir: Path, seeds: int) -> list[dict[str, Any]]:
    """The rows of `distill compare` for a set, measured once and kept beside it."""
    out = path.with_name("compare.json")
    if not out.exists():
        line = [
            str(path), "--data-dir", str(data_dir), "--networks", *NETWORKS, "--protocols", *PROTOCOLS,
            "--baselines", *CORESETS,
        ]  # fmt: skip
        code = compare([*line, "--seeds", str(seeds), "--full-data", "--out", str(out)])
        if code:
            raise SystemExit(code)
    rows: list[dict[str, Any]] = json.loads(out.read_text(encoding="utf-8"))["rows"]
    return rows


def row(root: Path, case: Case, data_dir: Path, seeds: int) -> dict[str, Any] | None:
    """A case's facts and scores by network; None where it is not done."""
    path = folder(root, case, 0) / "set.pt"
    if not path.exists():
        return None
    data = DistilledSet.load(path)
    text, provenance = data.text or {}, data.provenance
    places = ("--data-dir", str(data_dir), "--seeds", str(seeds))
    compared = compare_case(path, data_dir, seeds)
    return {
        "case": case.name,
        "command": f"distill {case.verb} {' '.join(Path(word).name for word in case.arguments)}",
        "learned_for": data.network["name"],
        "seconds": round(provenance["seconds"], 1),
        "outer_steps": provenance["outer_steps"],
        "encoder": {k: text.get(k) for k in ("checksum", "dim", "pooling", "max_length", "numbers")},
        "networks": {network: score_network(path, network, places, compared) for network in NETWORKS},
        "created": provenance["created"],
    }


def score_network(
    path: Path, network: str, arguments: Sequence[str], compared: list[dict[str, Any]]
) -> dict[str, Any]:
    """The set by its recipe, by adam, and so many steps beyond the end of adam, beside its baselines."""
    line = ("--network", network, *arguments)
    adam = measure_students(
        path, f"adam-{network}", (*line, "--protocol", "adam", "--steps-on", str(STEPS_ON))
    )
    recipe = measure_students(path, f"recipe-{network}", line)["accuracy"]  # at the set's own rates
    scores = summarise(compared, network)
    return scores | {
        "set": scores["set"] | {"recipe": recipe},
        "share": scores["share"] | {"recipe": recipe["mean"] / scores["all"]},
        "steps_on": adam["steps_on"],
    }


def summarise(rows: list[dict[str, Any]], network: str) -> dict[str, Any]:
    """The set by each protocol, the strongest coreset by any, and the network on all real texts."""
    mine = [r for r in rows if r["network"] == network]
    scores = {r["protocol"]: pick(r) for r in mine if r["kind"] == SET}
    baselines = [r for r in mine if r["kind"] == BASELINE]
    strongest = max((r for r in baselines if not r["items"].startswith(MEANS)), key=lambda r: r["mean"])
    means = max((r for r in baselines if r["items"].startswith(MEANS)), key=lambda r: r["mean"])
    everything = max((r for r in mine if r["kind"] == ALL), key=lambda r: r["mean"])
    return {
        "set": scores,
        "means": pick(means),
        "coreset": {**pick(strongest), "items": strongest["items"], "protocol": strongest["protocol"]},
        "all": everything["mean"],
        "share": {word: score["mean"] / everything["mean"] for word, score in scores.items()},
    }


def pick(row: dict[str, Any]) -> dict[str, Any]:
    """The accuracy of a row of a comparison."""
    return {name: row[name] for name in ("mean", "std", "n")}


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as a Markdown table: a line for each network."""
    head = [
        "case", "network", "recipe", "adam", f"adam, {STEPS_ON:,} steps on", "strongest real sentences",
        "class means", "all real texts", "share (recipe, adam)",
    ]  # fmt: skip
    lines = []
    for r in rows:
        for network, scores in r["networks"].items():
            learned = " (learned for it)" if network == r["learned_for"] else ""
            lines.append([
                r["case"], network + learned, *(percent(scores["set"].get(word)) for word in PROTOCOLS),
                percent(scores.get("steps_on")), *describe_baselines(scores),
            ])  # fmt: skip
    return markdown(head, lines)


def describe_baselines(scores: dict[str, Any]) -> list[str]:
    """The cells of the baselines and the shares; empty ones of rows that were measured without."""
    if "coreset" not in scores:
        return [""] * 4
    best, shares = scores["coreset"], scores["share"]
    return [
        f"{percent(best)} ({best['items']}, {best['protocol']})", percent(scores["means"]),
        f"{100 * scores['all']:.1f} %",
        ", ".join(f"{100 * shares[word]:.1f} %" for word in PROTOCOLS if word in shares),
    ]  # fmt: skip


def main() -> None:
    """The command."""
    parser = make_parser(__doc__, "encoders")
    parser.add_argument("--data-dir", type=Path, required=True, help="the folder with trec/, sst2/, imdb/")
    parser.add_argument("--encoder", required=True, help="the folder of a sentence encoder")
    parser.add_argument("--seeds", type=int, default=5, help="networks and draws of items for each score")
    options = parser.parse_args()
    all_cases = cases(options.data_dir, options.encoder)
    benchmark(
        "encoders",
        all_cases,
        options,
        lambda root, case: row(root, case, options.data_dir, options.seeds),
        table,
    )


if __name__ == "__main__":
    main()
