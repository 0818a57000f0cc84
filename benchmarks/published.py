"""Published figures to compare with, each read in the source that is named: results/published.md.

Kept by hand. `python -m benchmarks.published` writes the table; benchmarks.headline quotes some of it.
"""

from typing import NamedTuple

from benchmarks import machine
from benchmarks.cases import markdown
from distill.sets.storage import write_text


class Published(NamedTuple):
    """One figure: for how many items of which data, from which initial weights, by which method."""

    data: str
    items: int
    weights: str  # "known" or "random"
    method: str
    accuracy: str
    remark: str
    source: str


SITE = "project page of Wang et al. 2018"
SOFT = "README of ilia10000/dataset-distillation"
LOGS = "run logs of ilia10000/dataset-distillation"
VICO = "README of VICO-UoE/DatasetCondensation"
IDC = "README of snu-mllab/Efficient-Dataset-Condensation"
TABLES = "result tables in the repositories of DATM, NCFM and DANCE"
GSDD = "table 15 of the paper of GSDD"
STORAGE = "four smaller images in the bytes of each"

PUBLISHED = (
    Published("mnist", 5, "known", "SLDD", "almost 92 %", "LeNet", SOFT),
    Published("mnist", 10, "known", "SLDD", "above 96 %", "LeNet", SOFT),
    Published("mnist", 10, "known", "DD", "93.8 %", "LeNet, hard labels", SITE),
    Published("mnist", 100, "random", "DD", "79.5 ± 8.1 %", "LeNet, 200 networks", SITE),
    Published("mnist", 10, "random", "DC", "91.7 ± 0.5 %", "ConvNet of width 128", VICO),
    Published("mnist", 10, "random", "IDC", "94.2 %", STORAGE, IDC),
    Published("mnist", 100, "random", "DC", "97.4 %", "ConvNet of width 128", VICO),
    Published("mnist", 100, "random", "DSA", "97.8 %", "with augmentation", VICO),
    Published("mnist", 100, "random", "IDC", "98.4 %", STORAGE, IDC),
    Published("fashion-mnist", 10, "random", "DC", "70.5 %", "ConvNet of width 128", VICO),
    Published("fashion-mnist", 10, "random", "DANCE", "81.5 ± 0.4 %", "", TABLES),
    Published("fashion-mnist", 100, "random", "DC", "82.3 %", "ConvNet of width 128", VICO),
    Published("fashion-mnist", 100, "random", "DREAM", "86.4 %", "", TABLES),
    Published("cifar10", 10, "random", "DC", "28.3 ± 0.5 %", "ConvNet of width 128", VICO),
    Published("cifar10", 10, "random", "RaT-BPTT", "53.2 ± 0.7 %", "ZCA, augmentation", TABLES),
    Published("cifar10", 100, "random", "FRePo", "65.5 %", "ZCA, ConvNet without norm", GSDD),
    Published("cifar10", 100, "random", "RaT-BPTT", "69.4 %", "ZCA, augmentation", TABLES),
    Published("trec", 6, "known", "SLDD", "87.4 %", "bi-LSTM", LOGS),
    Published("trec", 6, "random", "SLDD", "62.0 ± 8.8 %", "bi-LSTM, 200 networks", LOGS),
    Published("sst5", 5, "known", "SLDD", "36.0 %", "bi-RNN", LOGS),
    Published("sst5", 5, "random", "SLDD", "23.4 ± 2.3 %", "bi-RNN, 200 networks", LOGS),
    Published("imdb", 2, "random", "SLDD", "69.6 ± 5.5 %", "TextCNN, 200 networks", LOGS),
    Published("imdb", 20, "known", "SLDD", "76.3 %", "TextCNN", LOGS),
    Published("imdb", 20, "random", "SLDD", "74.3 ± 3.0 %", "TextCNN, 20 networks", LOGS),
    Published("digits", 100, "random", "DD, adaptation", "67.5 ± 3.9 % → 92.7 ± 1.4 %", "before → after",
              SITE),
)  # fmt: skip


def table() -> str:
    """The figures as a Markdown table."""
    head = ["data", "items", "initial weights", "method", "test accuracy", "remark", "read in"]
    return markdown(head, [[p.data, str(p.items), *p[2:]] for p in PUBLISHED])


def main() -> None:
    """The command."""
    path = machine.RESULTS / "published.md"
    write_text(path, table() + "\n")
    print(path)


if __name__ == "__main__":
    main()
