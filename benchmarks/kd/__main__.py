"""Knowledge distillation: every recipe of benchmarks/kd/recipes/ with ten seeds, and the table of verdicts.

`python -m benchmarks.kd --data DIR` goes on where it stopped and writes benchmarks/results/kd*.json and .md.
`--choose RECIPE …` scores the grids of settings on held-out items instead. DIR holds cifar10.npz, usps.npz,
fashion-mnist and sst2; recipes whose data is not there are left out. Bias and variance of students are a
study with a command of its own: `python -m benchmarks.kd.studies.bias_variance --data DIR`.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from benchmarks.kd import FIRST_SEEDS, SEEDS, load_recipe
from benchmarks.kd.choices import CHOICES, check_choices, check_students, load_record
from benchmarks.kd.choose import choose_settings, choose_students
from benchmarks.kd.datasets import place_data
from benchmarks.kd.protocol import ProtocolError, check_assistants, check_items, check_twins
from benchmarks.kd.rows import ROWS
from benchmarks.kd.runs import Job, run_all
from benchmarks.kd.studies import adaptation, alphas, congruence, gap, orthogonality, subclasses
from benchmarks.kd.tables import build_rows, format_rows, write_rows

WRITERS = (
    write_rows, gap.write_gaps, alphas.write_alphas, adaptation.write_adaptation,
    subclasses.write_subclasses, orthogonality.write_study, congruence.write_congruence,
)  # fmt: skip
QUICK = 4  # the seed of each recipe that kd.json times takes 32 minutes with all epochs


def parse_options() -> argparse.Namespace:
    """The options of the command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", help="these recipes alone, by the names of their files")
    parser.add_argument("--data", type=Path, help="the folder of data sets that are not in the package")
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"runs of each recipe (default: {SEEDS})")
    parser.add_argument(
        "--quick",
        action="store_true",
        help=f"one seed of each with 1/{QUICK} of the epochs, about ten minutes; the table is only printed",
    )
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time, one thread each")
    parser.add_argument("--out", type=Path, default=Path("runs/bench-kd"))
    parser.add_argument("--choose", nargs="+", metavar="RECIPE", help="choose the settings of these recipes")
    parser.add_argument("--table", action="store_true", help="only write the tables of what is there")
    return parser.parse_args()


def list_jobs(names: list[str], seeds: int, data: Path | None, cache: Path) -> list[Job]:
    """All runs, the first seed of each recipe first. Raises ProtocolError before anything is trained."""
    jobs = []
    for name in names:
        recipe = load_recipe(name)
        changes = place_data(recipe, data, cache)
        if changes is None:
            print(f"{name}: its data, {recipe.data.name}, is not in --data: left out")
            continue
        for row in (row for row in ROWS if row.recipe == name):
            check_items(row, recipe)
            check_twins(row, recipe)
        check_assistants(name, recipe)
        check_choices(name, recipe, load_record())
        check_students(name, load_record())
        first = FIRST_SEEDS.get(name, 0)
        jobs += [Job(name, seed, tuple(changes)) for seed in range(first, first + seeds)]
    return sorted(jobs, key=lambda job: job.seed - FIRST_SEEDS.get(job.recipe, 0))


def shorten_job(job: Job) -> Job:
    """A run with a part of the epochs of each stage, at least one."""
    stages = load_recipe(job.recipe, job.changes).stages
    epochs = tuple(f"stages.{k}.epochs={max(1, s.epochs // QUICK)}" for k, s in enumerate(stages))
    return replace(job, changes=(*job.changes, *epochs))


def choose_all(names: list[str], data: Path | None, cache: Path) -> None:
    """Choose the settings of these recipes."""
    for name in names:
        changes = place_data(load_recipe(name), data, cache)
        if changes is None or name not in {choice.recipe for choice in CHOICES}:
            raise SystemExit(f"{name}: it has no settings to choose, or its data is not in --data")
        choose_settings(name, changes)
        choose_students(name, changes)


def main() -> None:
    """Run what is missing, print the tables, write them."""
    options = parse_options()
    cache = options.out / "data"
    names = options.only or [*dict.fromkeys(row.recipe for row in ROWS), orthogonality.RECIPE]
    if options.choose:
        choose_all(options.choose, options.data, cache)
        return
    root = options.out / "quick" if options.quick else options.out
    root.mkdir(parents=True, exist_ok=True)
    if not options.table:
        try:
            jobs = list_jobs(names, 1 if options.quick else options.seeds, options.data, cache)
        except ProtocolError as error:
            raise SystemExit(str(error)) from None
        run_all(root, [shorten_job(job) for job in jobs] if options.quick else jobs, options.jobs)
    if options.quick:
        print(format_rows(build_rows(root, [])))
        return
    for write in WRITERS:
        write(root)


if __name__ == "__main__":
    main()
