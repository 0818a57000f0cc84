"""Accuracy of distilled sentences on every text set that is found, beside the same network on all of them.

`python -m benchmarks.text --data-dir DIR --vectors FILE` runs every case that has no set yet and writes
benchmarks/results/text.json and a table from the sets themselves. DIR/trec/train.csv and so on are as
`python -m distill text --data-dir` reads them; sets that are not there are passed over. The bundled
sentences need neither option.
"""

from pathlib import Path
from typing import Any

from benchmarks.cases import Case, benchmark, folder, make_parser, markdown, percent, read_row
from distill.sets.distilled import DistilledSet

QUOTED: list[Any] = [
    ("sentences", 2, "random", 3),
    ("trec", 6, "fixed", 5, "--network", "ngram", "--synthetic-length", "15"),
    ("trec", 6, "random", 10),
    ("trec", 3, "random", 10),
    ("sst2", 2, "random", 5),
    ("sst5", 5, "fixed", 5),
    ("sst5", 5, "random", 5),
    ("imdb", 2, "random", 15),
    ("imdb", 20, "fixed", 20),
    ("imdb", 20, "random", 20),
]  # set, sentences, initialisation, minutes, and what differs from the defaults
SETTINGS = ("network", "inner_steps", "synthetic_length", "word_dropout", "outer_batch", "ema_decay", "width")


def cases(data_dir: Path | None, vectors: Path | None) -> list[Case]:
    """The rows whose data are there: set, sentences, initialisation, minutes of distilling."""
    rows = []
    for name, n, init, minutes, *case_options in QUOTED:
        options = [
            "--dataset",
            name,
            "--n",
            str(n),
            "--init",
            init,
            "--distil-minutes",
            str(minutes),
            *case_options,
        ]
        if name != "sentences":
            if data_dir is None or vectors is None or not (data_dir / name).is_dir():
                continue
            options += ["--data-dir", str(data_dir), "--vectors", str(vectors)]
        rows.append(Case(f"{name}, n = {n}, {init}", tuple(options), (0,), "text"))
    return rows


def row(root: Path, case: Case) -> dict[str, Any] | None:
    """A case's facts, its share of the full data's accuracy, and its vectors; None where it is not done."""
    result = read_row(root, case, SETTINGS)
    if result is None:
        return None
    data = DistilledSet.load(folder(root, case, 0) / "set.pt")
    return result | {
        "share": result["accuracy"]["mean"] / result["full_data"],
        "sentences": len(data),
        "vectors": {k: (data.text or {}).get(k) for k in ("dim", "checksum")},
    }


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as a Markdown table."""
    head = [
        "case", "test accuracy", "all real sentences", "share", "random real sentences", "k-means", "seconds",
    ]  # fmt: skip
    return markdown(head, [
        [
            r["case"], percent(r["accuracy"]), f"{100 * r['full_data']:.1f} %", f"{100 * r['share']:.1f} %",
            percent(r["random_real"]), percent(r["k_means"]), f"{r['seconds']:.0f}",
        ]
        for r in rows
    ])  # fmt: skip


def main() -> None:
    """The command."""
    parser = make_parser(__doc__, "text")
    parser.add_argument("--data-dir", type=Path, help="the folder with trec/, sst2/, sst5/, imdb/")
    parser.add_argument("--vectors", type=Path, help="word vectors for the sets in it")
    options = parser.parse_args()
    benchmark("text", cases(options.data_dir, options.vectors), options, row, table)


if __name__ == "__main__":
    main()
