"""A distilled set beside coresets of its size, on several networks, as rows and as a table."""

import os
import sys
import time
from collections.abc import Sequence
from typing import Any

from tqdm import tqdm

from distill.data.adapters import check_classes, pick_splits
from distill.data.dataset import Dataset
from distill.errors import NetworkError, UserError, python_names
from distill.inner import INNER_LOSSES
from distill.networks import NETWORKS, SEQUENCES
from distill.networks.resolve import plain_torch
from distill.randomness import stream
from distill.registry import load
from distill.sets.distilled import DistilledSet
from distill.sets.plain_types import check_count
from distill.sets.real_data import fit_to_set, load_if_path
from distill.student import CORESETS
from distill.student.baselines import full_data_accuracy, score_baseline, train_on_all
from distill.student.coresets import Draw, label_by_teacher
from distill.student.scores import Report
from distill.student.training import Student, build_problem, build_set_network, initial_weights

Row = dict[str, Any]
EVERY = 10.0  # seconds between two lines of progress where there is no terminal


@python_names()
@plain_torch()
def compare(
    data: DistilledSet | str | os.PathLike[str],
    train: Any,
    test: Any = None,
    networks: str | Sequence[str] = (),
    seeds: int = 5,
    full_data: bool = False,
) -> list[Row]:
    """A set beside random, selected and all real items, as rows of `network`, `items`, `mean`, `std`, `n`.

    Args:
        data: the set, or the path of its file.
        train: real training data in any form that `distill.distill` takes.
        test: real test data.
        networks: the names of the networks to train (default: all that the items are large enough for).
        seeds: how many networks and draws of items give a mean and a std.
        full_data: also train each network on all real data.

    Raises:
        UserError: what cannot be compared, in one sentence.
    """
    data, seeds = load_if_path(data), check_count("seeds", seeds)
    train, test = pick_splits(train, test)
    if test is None:
        raise UserError("test is None: give real test data, or a DatasetDict of train and test")
    names = (networks,) if isinstance(networks, str) else networks
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise UserError(f'networks is {networks!r:.80}: give names of networks, as ["lenet", "mlp"]')
    chosen = choose_networks(data, tuple(names))
    real, real_test = (fit_to_set(split, data) for split in (train, test))
    check_classes(real)
    return compare_items(data, real, real_test, chosen, seeds, bool(full_data))


SMALL_NETWORKS = ("lenet", "convnet", "mlp", "alexcifarnet", "resnet")  # a larger one takes minutes each


def choose_networks(data: DistilledSet, names: tuple[str, ...]) -> list[str]:
    """The networks of these names, or all small ones that the set's items are large enough for.

    Raises UserError.
    """
    name, loss = data.network["name"], data.inner["loss"]
    if name not in NETWORKS or loss not in INNER_LOSSES:
        own = (
            f"a network of your own, {name}" if name not in NETWORKS else f"an inner loss of your own, {loss}"
        )
        raise UserError(f"the set is of {own}: measure it by distill.student.evaluate(set, test, …)")
    for name in names:
        build_set_network(data, name)
    return list(names) or [
        name for name in (SEQUENCES if data.text else SMALL_NETWORKS) if can_train(data, name)
    ]


def can_train(data: DistilledSet, name: str) -> bool:
    """Whether the set's items are large enough for a network."""
    try:
        build_set_network(data, name)
    except NetworkError:
        return False
    return True


def compare_items(
    data: DistilledSet, train: Dataset, test: Dataset, names: list[str], seeds: int, full_data: bool
) -> list[Row]:
    """One row per network and kind of items; training the teacher on all real items comes first.

    Raises DataError for fewer than ten training items.
    """
    train, held_out = train.hold_out(1000, stream("split", "compare"))
    print(f"training the teacher, {data.network['name']}, on {len(train)} items", file=sys.stderr)
    network = build_set_network(data)
    teacher = train_on_all(train, held_out, network, initial_weights(data, network, "random", 1)[0])
    draws, rows = build_draws(data, train, teacher), list[Row]()
    last, quiet = time.perf_counter(), not sys.stderr.isatty()
    for name in names:
        for items, draw in tqdm(draws.items(), name, disable=quiet, leave=False):
            if quiet and time.perf_counter() - last > EVERY:
                last = time.perf_counter()
                print(f"{len(rows)} of {len(names) * len(draws)} kinds of items are scored", file=sys.stderr)
            scores, lr_text = score_draw(data, held_out, test, name, items, draw, seeds)
            summary = Report(items, tuple(scores)).summary()
            rows.append({"network": name, "items": items, "rates": lr_text, **summary})
        if full_data:
            network = build_set_network(data, name)
            weights = initial_weights(data, network, "random", 1)[0]
            score = full_data_accuracy(train, held_out, test, network, weights)
            rows.append({"network": name, "items": f"all {len(train)}", **Report("all", (score,)).summary()})
    return rows


def build_draws(data: DistilledSet, train: Dataset, teacher: Student) -> dict[str, Draw]:
    """The set itself, then every coreset: with hard labels, and with the teacher's."""
    coresets: dict[str, Draw] = {name: load(entry)(data, train, teacher) for name, entry in CORESETS.items()}
    labelled = {f"{name}, teacher labels": label_by_teacher(draw, teacher) for name, draw in coresets.items()}
    return {"distilled": lambda _: (data.items, data.labels), **coresets, **labelled}


def score_draw(
    data: DistilledSet, held_out: Dataset, test: Dataset, network: str, items: str, draw: Draw, seeds: int
) -> tuple[list[float], str]:
    """Test accuracies of a network on drawn items, and at which rates; its weights are new ones.

    The set's own network starts from the set's own weights, where it has some.
    """
    module = build_set_network(data, network)
    init = data.network["init"] if network == data.network["name"] else "random"
    weights = initial_weights(data, module, init, seeds)
    return score_baseline(items, draw, data, build_problem(data, module), held_out, test, weights, seeds)


def format_table(rows: list[Row], names: list[str]) -> str:
    """Kinds of items down, networks across, in Markdown."""
    cells = {(r["items"], r["network"]): f"{100 * r['mean']:.1f} ± {100 * r['std']:.1f}" for r in rows}
    lines = [f"| items | {' | '.join(names)} |", "|---" * (1 + len(names)) + "|"]
    for items in dict.fromkeys(r["items"] for r in rows):
        lines.append(f"| {items} | {' | '.join(cells[items, name] for name in names)} |")
    return "\n".join(lines)
