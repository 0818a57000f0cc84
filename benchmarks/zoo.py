"""The zoo's page from the zoo's files: `python -m benchmarks.zoo` writes zoo/README.md.

A set joins the zoo by a copy: cp runs/mnist-n10-fixed-soft-s0/set.pt zoo/mnist-10.pt
"""

import re
from pathlib import Path

from benchmarks.cases import percent
from distill.sets.distilled import DistilledSet
from distill.sets.storage import write_text

ZOO = Path(__file__).parents[1] / "zoo"
INTRO = """# The zoo

Distilled sets, ready to train on, as their own files tell it (`python -m benchmarks.zoo` writes this page).

    python -m distill.student zoo/mnist-10.pt                    # replay it: the accuracy of the table
    python -m distill.student zoo/mnist-10.pt --save lenet.pt    # and keep the trained weights
    python -m distill.student zoo/mnist-10-random.pt             # networks that it never saw

Accuracy is on the test split: of the set's own initial weights where they are fixed, else mean ± standard
deviation over networks that it never saw.

"""


def line(path: Path, data: DistilledSet) -> str:
    """A set's row."""
    made, scores = data.provenance, data.scores
    cells = [
        f"[{path.name}]({path.name}), {path.stat().st_size / 1e3:.0f} kB",
        f"{len(data)} of {data.source['name']}",
        f"{data.network['init']} {data.network['name']}",
        percent(scores["accuracy"]),
        percent(scores["baselines"]["random-real"]),
        f"{100 * scores['full_data']:.1f} %",
        f"{made['seconds']:.0f} s, {made['outer_steps']:,} outer steps",
    ]
    return f"| {' | '.join(cells)} |"


def origin(path: Path, data: DistilledSet) -> str:
    """How and where a set was made."""
    made = data.provenance
    versions = made["versions"]
    words = re.sub(r" --out \S+| --overwrite", "", made["command"])
    where = f"{made['config']['device']} ({versions['machine']}), torch {versions['torch']}"
    return f"- {path.name}: `{words}` on {made['created'][:10]}, {where}"


def page(paths: list[Path]) -> str:
    """The whole page."""
    sets = [(path, DistilledSet.load(path)) for path in paths]
    head = [
        "| file | items | network | accuracy | as many random real | all real | distilled in |",
        "|" + "---|" * 7,
    ]
    rows = [*head, *(line(*pair) for pair in sets), "", *(origin(*pair) for pair in sets)]
    return INTRO + "\n".join(rows) + "\n"


def main() -> None:
    """The command."""
    write_text(ZOO / "README.md", page(sorted(ZOO.glob("*.pt"))))
    print(ZOO / "README.md")


if __name__ == "__main__":
    main()
