"""compare(): a set beside coresets of its size, by several protocols, on several networks, as rows."""

import os
import sys
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from distill.data.adapters import check_classes, pick_splits
from distill.data.dataset import Dataset
from distill.data.models import is_model
from distill.errors import NetworkError, UserError, python_names, unknown
from distill.inner import INNER_LOSSES
from distill.networks import IMAGES, NETWORKS
from distill.networks.resolve import plain_torch
from distill.randomness import stream
from distill.registry import find
from distill.sets.distilled import DistilledSet
from distill.sets.plain_types import check_count
from distill.sets.real_data import fit_to_set, load_if_path
from distill.student import CORESETS, PROTOCOLS
from distill.student.comparison.candidates import as_baseline, list_candidates, list_versions
from distill.student.comparison.cells import (
    Column,
    build_column,
    estimate_seconds,
    score_all,
    score_plain,
    score_row,
    try_column,
)
from distill.student.comparison.coresets import check_crops, with_equal_bytes
from distill.student.comparison.table import Row
from distill.student.comparison.teachers import check_teacher, estimate_teacher_seconds, train_teachers
from distill.student.protocols import TrainingProtocol
from distill.student.training import Student, resolve_set_network

EVERY = 10.0  # seconds between two lines of progress
DEFAULT_PROTOCOLS = ("recipe", "dc")
DEFAULT_NETWORKS = {  # beside the set's own
    "images": ("lenet", "mlp"), "texts": ("textcnn", "average"), "vectors": ("linear", "mlp"),
}  # fmt: skip


class Grid(NamedTuple):
    """What is compared: protocols by name, networks, coresets, the number of students, a user's teacher."""

    protocols: dict[str, TrainingProtocol]
    networks: list[str]
    baselines: list[str]
    seeds: int = 3
    full_data: bool = False
    teacher: Student | None = None


@python_names()
@plain_torch()
def compare(
    data: DistilledSet | str | os.PathLike[str],
    train: Any,
    test: Any = None,
    networks: str | Sequence[str] = (),
    seeds: int = 3,
    full_data: bool = False,
    protocols: str | Sequence[str] = (),
    baselines: str | Sequence[str] = (),
    teacher: Any = None,
) -> list[Row]:
    """A set beside random, selected and all real items, by protocol and network.

    The rows hold `protocol`, `network`, `items`, `kind`, `mean`, `std`, `n` and `rates`.

    Args:
        data: the set, or the path of its file.
        train: real training data in any form that `distill.distill` takes.
        test: real test data.
        networks: the names of the networks to train (default: the set's own and two others).
        seeds: how many networks and draws of items give a mean and a std.
        full_data: also train each network on all real data.
        protocols: the names of the protocols by which students are trained (default: recipe and dc).
        baselines: the names of the coresets to compare with (default: all).
        teacher: a trained module whose features choose and whose soft labels teach (default: networks trained
            on all real data, for labels one that is stopped early).

    Raises:
        UserError: what cannot be compared, in one sentence.
    """
    data, seeds = load_if_path(data), check_count("seeds", seeds)
    train, test = pick_splits(train, test)
    if test is None:
        raise UserError("test is None: give real test data, or a DatasetDict of train and test")
    grid = build_grid(data, networks, protocols, baselines, seeds, bool(full_data), teacher)
    real, real_test = (fit_to_set(split, data) for split in (train, test))
    check_classes(real)
    return compare_items(data, real, real_test, grid)


def build_grid(
    data: DistilledSet, networks: Any = (), protocols: Any = (), baselines: Any = (), seeds: int = 3,
    full_data: bool = False, teacher: Any = None,
) -> Grid:  # fmt: skip
    """The grid of these words, which may be joined by commas. Raises UserError before anything is trained."""
    chosen = choose_networks(data, split_words("networks", networks, '["lenet", "mlp"]'))
    known = [word for word in DEFAULT_PROTOCOLS if word in PROTOCOLS]
    words = split_words("protocols", protocols, '["recipe", "dc"]') or known
    trainers = {word: find(PROTOCOLS, "protocol", word)() for word in words}
    real = split_words("baselines", baselines, '["random", "means"]') or list(CORESETS)
    for word in real:
        if word not in CORESETS:
            raise UserError(unknown("baseline", word, CORESETS))
    taught = None if teacher is None else check_teacher(teacher, data)
    grid = Grid(trainers, chosen, real, seeds, full_data, taught)
    try_grid(data, grid)
    return grid


def split_words(name: str, words: Any, example: str) -> list[str]:
    """Words of a list, or of a text with commas, each once. Raises UserError for anything else."""
    listed = [words] if isinstance(words, str) else words
    if not isinstance(listed, list | tuple) or not all(isinstance(word, str) for word in listed):
        raise UserError(f"{name} is {words!r:.80}: give names of {name}, as {example}")
    return list(dict.fromkeys(part.strip() for word in listed for part in word.split(",") if part.strip()))


def choose_networks(data: DistilledSet, names: Sequence[str]) -> list[str]:
    """The networks of these names, or the set's own and two others that its items are large enough for.

    Raises UserError.
    """
    name, loss = data.network["name"], data.inner["loss"]
    is_own = name not in NETWORKS and not is_model(name)
    if is_own or loss not in INNER_LOSSES:
        own = f"a network of your own, {name}" if is_own else f"an inner loss of your own, {loss}"
        raise UserError(f"the set is of {own}: measure it by distill.student.evaluate(set, test, …)")
    for word in names:
        resolve_set_network(data, word)
    kind = "vectors" if data.items.ndim == 2 else "images" if name in IMAGES else "texts"
    others = DEFAULT_NETWORKS[kind]
    default = dict.fromkeys([name, *(word for word in others if can_train(data, word))])
    return list(names) or list(default)


def can_train(data: DistilledSet, name: str) -> bool:
    """Whether the set's items are large enough for a network."""
    try:
        resolve_set_network(data, name)
    except NetworkError:
        return False
    return True


def try_grid(data: DistilledSet, grid: Grid) -> None:
    """Say on stderr what a protocol makes of the set's labels.

    Raises UserError where it cannot train one of the networks on the set or on its hard labels.
    """
    for column in list_columns(data, grid):
        remarks = [try_column(column, version) for version in list_versions(data, as_baseline(data))]
        if remarks[0] and column.network == grid.networks[0]:
            print(f"{column.protocol}: {remarks[0]}", file=sys.stderr)


def list_columns(data: DistilledSet, grid: Grid) -> list[Column]:
    """The columns of the table: each protocol with each network."""
    return [
        build_column(data, word, trainer, network, grid.seeds)
        for word, trainer in grid.protocols.items()
        for network in grid.networks
    ]


def compare_items(data: DistilledSet, train: Dataset, test: Dataset, grid: Grid) -> list[Row]:
    """One row per protocol, network and kind of items; teachers are trained on all real items first.

    Raises DataError for fewer than ten training items, UserError for too few for a coreset.
    """
    train, held_out = train.hold_out(1000, stream("split", "compare"))
    grid = grid._replace(baselines=list_possible(data, train, grid.baselines))
    columns, versions = list_columns(data, grid), list_versions(data, as_baseline(data))
    kinds = len(versions) + 2 * len(grid.baselines)
    seconds = kinds * sum(
        estimate_seconds(column, versions[-1], held_out, len(test), grid.seeds) for column in columns
    )
    training = 0.0 if grid.teacher else estimate_teacher_seconds(data, train)
    parts = f"{describe_seconds(training)} for the teacher, {describe_seconds(seconds)} for"
    print(f"this takes about {parts} {kinds * len(columns)} cells", file=sys.stderr)
    teacher, labeller = (grid.teacher,) * 2 if grid.teacher else train_teachers(data, train, held_out)
    items = list_candidates(data, train, teacher, labeller, grid.baselines)
    rows, progress = list[Row](), Progress(kinds * len(columns))
    for column in columns:
        for candidate in items:
            progress.say(len(rows))
            rows.append(score_row(column, candidate, held_out, test, grid.seeds))
    rows += score_plain(columns, items, held_out, test, grid.seeds)
    networks = grid.networks if grid.full_data else []
    own = None if grid.teacher or grid.full_data else teacher
    return rows + score_all(data, train, held_out, test, networks, own)


def list_possible(data: DistilledSet, train: Dataset, baselines: list[str]) -> list[str]:
    """These baselines; of all there are, without rded where a class has too few items for its crops.

    Raises UserError where it was asked for.
    """
    try:
        if "rded" in baselines:
            check_crops(with_equal_bytes(data), train)
    except UserError as error:
        if set(baselines) != CORESETS.keys():
            raise
        print(f"the baseline rded is left out: {error}", file=sys.stderr)
        return [word for word in baselines if word != "rded"]
    return baselines


class Progress:
    """Says every ten seconds on stderr how many of the cells are scored."""

    def __init__(self, total: int) -> None:
        self.total, self.last = total, time.perf_counter()

    def say(self, done: int) -> None:
        """Print the line, unless the last one is younger than ten seconds."""
        if time.perf_counter() - self.last > EVERY:
            self.last = time.perf_counter()
            print(f"{done} of {self.total} cells are scored", file=sys.stderr)


def describe_seconds(seconds: float) -> str:
    """'50 seconds', '12 minutes', '3.4 hours'."""
    if seconds < 100:
        count = max(1, round(seconds))
        return f"{count} second{'s' * (count != 1)}"
    return f"{seconds / 60:.0f} minutes" if seconds < 6000 else f"{seconds / 3600:.1f} hours"
