"""Adapting trained networks between digit sets, and poisoning them: Wang et al. 2018, one gradient step each.

`python -m benchmarks.applications --usps FILE` runs every case that has no set yet and writes
benchmarks/results/applications.json and a table. Without FILE the adaptation is passed over.
"""

from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.cases import Case, benchmark, folder, make_parser, markdown, percent
from distill.sets.distilled import DistilledSet
from distill.student.scores import Report

SEEDS = (0, 1, 2)
RANDOM = ("--init", "random")


def cases(usps: Path | None) -> list[Case]:
    """A fixed trained network with three seeds, or four new ones; adaptation where its data are given."""
    adaptations = []
    if usps is not None:
        to_usps = ("--source", "mnist", "--target", str(usps), "--n")
        to_mnist = ("--source", str(usps), "--target", "mnist", "--n")
        adaptations = [
            Case("MNIST to USPS, n = 10", (*to_usps, "10"), SEEDS, "adapt"),
            Case("USPS to MNIST, n = 10", (*to_mnist, "10"), SEEDS, "adapt"),
            Case(
                "MNIST to USPS, n = 10, unseen",
                (*to_usps, "10", *RANDOM, "--pool", "12"),
                (0,),
                "adapt",
            ),
        ]
    return [
        *adaptations,
        Case("7 as 1, n = 10", ("--n", "10"), SEEDS, "poison"),
        Case("7 as 1, n = 10, unseen", ("--n", "10", *RANDOM), (0,), "poison"),
    ]


def row(root: Path, case: Case) -> dict[str, Any] | None:
    """A case's scores over its seeds, or over the networks of its one seed; None where none is done."""
    done = [s for s in case.seeds if (folder(root, case, s) / "set.pt").exists()]
    sets = [DistilledSet.load(folder(root, case, s) / "set.pt") for s in done]
    if not sets:
        return None
    scores = [data.scores for data in sets]
    columns = {"after": [s["accuracy"] for s in scores]}
    columns |= {name: [s["baselines"][key] for s in scores] for name, key in BASELINES.items()}
    if "attack" in scores[0]:
        columns |= {
            f"{when} {part}": [s["attack"][when][part] for s in scores]
            for when in ("before", "distilled", "real")
            for part in ("attacked", "others")
        }
    return {
        "case": case.name,
        "command": f"distill {case.verb} {' '.join(Path(word).name for word in case.arguments)}",
        "seeds": done,
        **{name: summarise(column) for name, column in columns.items()},
        "full_data": fmean(s["full_data"] for s in scores),
        "seconds": [round(data.provenance["seconds"], 1) for data in sets],
        "created": sets[0].provenance["created"],
    }


BASELINES = {"before": "before", "random_real": "random-real", "k_means": "k-means"}


def summarise(scores: list[dict[str, Any]]) -> dict[str, Any]:
    """A single set's own mean ± std, or that of the sets' means."""
    return scores[0] if len(scores) == 1 else Report("", tuple(f["mean"] for f in scores)).summary()


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as two Markdown tables."""
    formatters = {False: format_adaptation, True: format_poison}
    split = {poison: [r for r in rows if ("real attacked" in r) == poison] for poison in formatters}
    return "\n\n".join(formatters[poison](group) for poison, group in split.items() if group)


def format_adaptation(rows: list[dict[str, Any]]) -> str:
    """Accuracy on the target set."""
    head = ["adapted", "before", "after one step", "random real images", "k-means", "all real images"]
    names = ("before", "after", "random_real", "k_means")
    cells = [[r["case"], *(percent(r[n]) for n in names), f"{100 * r['full_data']:.1f} %"] for r in rows]
    return markdown(head, cells)


def format_poison(rows: list[dict[str, Any]]) -> str:
    """The share of the attacked class that is taken for the target, and of the others that is right."""
    head = ["poisoned: taken for the target / others right", "before", "after one step",
            "real images with the wrong label"]  # fmt: skip
    whens = ("before", "distilled", "real")
    return markdown(head, [[r["case"], *(format_pair(r, when) for when in whens)] for r in rows])


def format_pair(r: dict[str, Any], when: str) -> str:
    return f"{percent(r[f'{when} attacked'])} / {percent(r[f'{when} others'])}"


def main() -> None:
    """The command."""
    parser = make_parser(__doc__, "applications")
    parser.add_argument("--usps", type=Path, help="an .npz with USPS: x_train, y_train, x_test, y_test")
    options = parser.parse_args()
    benchmark("applications", cases(options.usps), options, row, table)


if __name__ == "__main__":
    main()
