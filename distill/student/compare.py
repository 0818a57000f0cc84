"""A distilled set beside coresets of its size, on several networks, as rows and as a table."""

import sys
from typing import Any

from tqdm import tqdm

from distill.data.dataset import Dataset
from distill.errors import NetworkError, UserError
from distill.networks import IMAGES, SEQUENCES
from distill.randomness import stream
from distill.registry import load
from distill.sets.distilled import DistilledSet
from distill.sets.real_data import match_real_data
from distill.student import CORESETS
from distill.student.baselines import full_data_accuracy, score_baseline, train_on_all
from distill.student.coresets import Draw, label_by_teacher
from distill.student.scores import Report
from distill.student.training import Student, build_problem, build_set_network, initial_weights

Row = dict[str, Any]


def choose_networks(data: DistilledSet, names: tuple[str, ...]) -> list[str]:
    """The networks of these names, or all that the set's items are large enough for. Raises UserError."""
    for name in names:
        build_set_network(data, name)
    return list(names) or [name for name in (SEQUENCES if data.text else IMAGES) if can_train(data, name)]


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

    Raises UserError for fewer than ten training items, or those of another kind than the set's.
    """
    if len(train) < 10:
        raise UserError(
            f"{train.name} has {len(train)} training items: at least 10 are needed, one in ten chooses"
        )
    train, test = match_real_data(data, train, test)
    train, held_out = train.split(min(1000, len(train) // 10), stream("split", "compare"))
    print(f"training the teacher, {data.network['name']}, on {len(train)} items", file=sys.stderr)
    network = build_set_network(data)
    teacher = train_on_all(train, held_out, network, initial_weights(data, network, "random", 1)[0])
    draws, rows = build_draws(data, train, teacher), []
    for name in names:
        for items, draw in tqdm(draws.items(), name, disable=not sys.stderr.isatty(), leave=False):
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
