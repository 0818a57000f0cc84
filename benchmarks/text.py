"""Accuracy of distilled sentences on every text set that is found, beside the same network on all of them.

`python -m benchmarks.text --data-dir DIR --vectors FILE` runs every case that has no set yet and writes
benchmarks/results/text.json and a table from the sets themselves. DIR/trec/train.csv and so on are as
`python -m distill text --data-dir` reads them; sets that are not there are passed over. The bundled
sentences need neither option. New networks also train on the sets of random initialisations by the protocol
adam, and for 2,000 steps more: what is left then says whether a set is data or a sequence of steps.
"""

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
    read_row,
)
from distill.sets.distilled import DistilledSet

BY_ADAM = ("--rule", "adam")  # learned through the training of the protocol adam
BY_RIDGE = ("--method", "frepo", "--label-scale", "20")
BY_RCIG = ("--method", "rcig")
WORDS = {"adam": "by adam", "frepo": "by ridge", "rcig": "by rcig"}  # of the option that tells a case
STEPS_ON = 2000  # beyond the end of that protocol
QUOTED: list[Any] = [
    ("sentences", 2, "random", 3),
    ("sentences", 2, "random", 3, *BY_ADAM),
    ("sentences", 2, "random", 3, *BY_RIDGE),
    ("sentences", 2, "random", 3, *BY_RCIG),
    ("trec", 6, "fixed", 5, "--network", "ngram", "--synthetic-length", "15"),
    ("trec", 6, "random", 10),
    ("trec", 6, "random", 10, *BY_ADAM),
    ("trec", 6, "random", 10, *BY_RCIG),
    ("trec", 3, "random", 10),
    ("sst2", 2, "random", 5),
    ("sst5", 5, "fixed", 5),
    ("sst5", 5, "random", 5),
    ("imdb", 2, "random", 15),
    ("imdb", 2, "random", 15, *BY_ADAM),
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
        kind = "".join(f", {WORDS[word]}" for word in case_options if word in WORDS)
        rows.append(Case(f"{name}, n = {n}, {init}{kind}", tuple(options), (0,), "text"))
    return rows


def row(root: Path, case: Case, places: Sequence[str] = (), seeds: int = 5) -> dict[str, Any] | None:
    """A case's facts, its share of the full data's accuracy, its vectors, and what students have by adam.

    places: where students find the data and the vectors. None where the case is not done.
    """
    result = read_row(root, case, SETTINGS)
    if result is None:
        return None
    path = folder(root, case, 0) / "set.pt"
    data, by_adam = DistilledSet.load(path), {}
    if data.init_state is None:
        students = measure_students(path, "adam", student_options(places, seeds))
        by_adam = {"adam": students["accuracy"], "steps_on": students["steps_on"]}
    return (
        result
        | by_adam
        | {
            "share": result["accuracy"]["mean"] / result["full_data"],
            "sentences": len(data),
            "vectors": {k: (data.text or {}).get(k) for k in ("dim", "checksum")},
        }
    )


def student_options(places: Sequence[str], seeds: int) -> list[str]:
    """The options of `distill student` for students by adam, and beyond its end."""
    return ["--protocol", "adam", "--steps-on", str(STEPS_ON), "--seeds", str(seeds), *places]


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as a Markdown table."""
    head = [
        "case", "recipe", "adam", f"adam, {STEPS_ON:,} steps on", "all real sentences", "share",
        "random real sentences", "k-means", "seconds",
    ]  # fmt: skip
    return markdown(head, [
        [
            r["case"], percent(r["accuracy"]), percent(r.get("adam")), percent(r.get("steps_on")),
            f"{100 * r['full_data']:.1f} %", f"{100 * r['share']:.1f} %",
            percent(r["random_real"]), percent(r["k_means"]), f"{r['seconds']:.0f}",
        ]
        for r in rows
    ])  # fmt: skip


def main() -> None:
    """The command."""
    parser = make_parser(__doc__, "text")
    parser.add_argument("--data-dir", type=Path, help="the folder with trec/, sst2/, sst5/, imdb/")
    parser.add_argument("--vectors", type=Path, help="word vectors for the sets in it")
    parser.add_argument("--seeds", type=int, default=5, help="students by adam")
    options = parser.parse_args()

    def measure(root: Path, case: Case) -> dict[str, Any] | None:
        own = "--data-dir" in case.arguments
        places = ("--data-dir", str(options.data_dir), "--vectors", str(options.vectors)) if own else ()
        return row(root, case, places, options.seeds)

    benchmark("text", cases(options.data_dir, options.vectors), options, measure, table)


if __name__ == "__main__":
    main()
