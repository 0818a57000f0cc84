"""`distill compare SET.pt`: a distilled set beside what else so few items could be, on many networks."""

import sys
from typing import TYPE_CHECKING, Any

from distill.errors import NetworkError
from distill.networks import IMAGES, SEQUENCES

if TYPE_CHECKING:
    from distill.data.dataset import Dataset
    from distill.sets.distilled import DistilledSet

Row = dict[str, Any]


def networks_for(data: "DistilledSet", named: tuple[str, ...]) -> list[str]:
    """The named networks, or all whose smallest item is no larger than the set's. Raises UserError."""
    from distill.student.training import network_of

    for name in named:
        network_of(data, name)
    return list(named) or [name for name in (SEQUENCES if data.text else IMAGES) if fits(data, name)]


def fits(data: "DistilledSet", name: str) -> bool:
    from distill.student.training import network_of

    try:
        network_of(data, name)
    except NetworkError:
        return False
    return True


def measured(
    data: "DistilledSet",
    train: "Dataset",
    test: "Dataset",
    names: list[str],
    seeds: int,
    with_full_data: bool,
) -> list[Row]:
    """One row per network and kind of items; training the teacher on all real items comes first."""
    from tqdm import tqdm

    from distill.randomness import stream
    from distill.student.baselines import full_data, taught_by_all
    from distill.student.coresets import rivals, scored
    from distill.student.scores import Report
    from distill.student.training import network_of, starts

    train, held_out = train.split(min(1000, len(train) // 10), stream("split", "compare"))
    own = network_of(data)
    print(f"training the teacher, {data.network['name']}, on {len(train)} items", file=sys.stderr)
    teacher = taught_by_all(train, held_out, own, starts(data, own, "random", 1)[0])
    draws, rows = rivals(data, train, teacher), []
    for network in names:
        for items, draw in tqdm(draws.items(), network, disable=not sys.stderr.isatty(), leave=False):
            scores, rates = scored(data, held_out, test, network, items, draw, seeds)
            rows.append(
                {"network": network, "items": items, "rates": rates, **Report(items, tuple(scores)).facts()}
            )
        if with_full_data:
            module = network_of(data, network)
            found = full_data(train, held_out, test, module, starts(data, module, "random", 1)[0])
            rows.append({"network": network, "items": f"all {len(train)}", **Report("all", (found,)).facts()})
    return rows


def table(rows: list[Row], names: list[str]) -> str:
    """Kinds of items down, networks across, in Markdown."""
    cells = {(r["items"], r["network"]): f"{100 * r['mean']:.1f} ± {100 * r['std']:.1f}" for r in rows}
    lines = [f"| items | {' | '.join(names)} |", "|---" * (1 + len(names)) + "|"]
    for items in dict.fromkeys(r["items"] for r in rows):
        lines.append(f"| {items} | {' | '.join(cells[items, name] for name in names)} |")
    return "\n".join(lines)
