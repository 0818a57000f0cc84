"""Random initialisations on images: ConvNets that were never seen, of width 64 or 32.

`python -m benchmarks.images --data-dir DIR` runs every case that has no set yet and writes
benchmarks/results/images.json and a table. MNIST is bundled; DIR holds fashion-mnist/ and cifar10.npz;
sets that are not there are passed over.
"""

from pathlib import Path
from typing import Any

from benchmarks.cases import Case, benchmark, make_parser, markdown, percent, percent_of_all, read_row

CONVNET = (
    "--init", "random", "--network", "convnet", "--warmup", "20", "--validate-every", "100",
    "--full-data-networks", "1",
)  # fmt: skip
QUOTED: list[Any] = [
    ("mnist", 5, 8, "--width", "64"),
    ("mnist", 10, 30, "--width", "64"),
    ("mnist", 100, 70, "--width", "64", "--lr", "0.03"),
    ("fashion-mnist", 10, 20, "--width", "64"),
    ("fashion-mnist", 100, 15, "--width", "32", "--lr", "0.03"),
    ("cifar10.npz", 10, 20, "--width", "64", "--zca"),
]  # set, images, minutes, and what differs from CONVNET and UNROLLED
UNROLLED = ("--method", "unroll", "--labels", "soft")
METHODS = {"unroll": "12", "frepo": "40", "dc": "40", "dm": "40"}  # inner steps; at equal seconds
SETTINGS = (
    "width", "inner_steps", "rule", "lr", "engine", "window", "batch", "outer_batch", "outer_lr", "start",
)  # fmt: skip


def cases(data_dir: Path | None) -> list[Case]:
    """The rows whose data are there: set, images, minutes of distilling."""
    rows = []
    for name, n, minutes, *options in QUOTED:
        data_options = [] if name == "mnist" else ["--data-dir", str(data_dir)]
        if data_options and not (data_dir and (data_dir / name).exists()):
            continue
        if name.endswith(".npz"):
            data_options, name = ["--dataset", str(data_dir / name)], name.split(".")[0]
        else:
            data_options += ["--dataset", name]
        choices = (*CONVNET, *UNROLLED, "--distil-minutes", str(minutes), *options)
        arguments = ("--n", str(n), *data_options, *choices)
        rows.append(Case(f"{name}, n = {n}", arguments, (0,)))
    return rows + [
        Case(f"mnist, n = 10, {name}, short", list_short_arguments(name), (0,)) for name in METHODS
    ]


def list_short_arguments(method: str) -> tuple[str, ...]:
    """Three minutes of a method on narrower networks."""
    arguments = ("--method", method, "--inner-steps", METHODS[method])
    return ("--n", "10", *CONVNET, "--width", "32", "--distil-minutes", "3", *arguments)


def row(root: Path, case: Case) -> dict[str, Any] | None:
    return read_row(root, case, SETTINGS)


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as a Markdown table."""
    head = ["case", "test accuracy", "random real images", "k-means", "all real images", "seconds"]
    scores = ("accuracy", "random_real", "k_means")
    return markdown(head, [
        [r["case"], *(percent(r[s]) for s in scores), percent_of_all(r["full_data"]), f"{r['seconds']:.0f}"]
        for r in rows
    ])  # fmt: skip


def main() -> None:
    """The command."""
    parser = make_parser(__doc__, "images")
    parser.add_argument("--data-dir", type=Path, help="the folder with fashion-mnist/ and cifar10.npz")
    options = parser.parse_args()
    benchmark("images", cases(options.data_dir), options, row, table)


if __name__ == "__main__":
    main()
