"""`distill compare SET.pt`: a distilled set beside what else so few items could be, on many networks."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distill.config import NETWORKS, TEXT_NETWORKS, answer, parse
from distill.errors import NetworkError, UserError
from distill.student.real import SetConfig, opened

if TYPE_CHECKING:
    from distill.data import Dataset
    from distill.sets import DistilledSet

Row = dict[str, Any]


@dataclass(frozen=True)
class CompareConfig(SetConfig):
    """Measure a distilled set beside random, k-means, herding and k-center items, on several networks."""

    networks: tuple[str, ...] = ()
    """The networks to train (default: all for this kind of data that its items are large enough for)."""
    seeds: int = 5
    """Networks, and draws of items, per figure: mean ± std."""
    full_data: bool = False
    """Also train each of the networks on all real data (slow)."""
    out: str | None = None
    """Where the figures are written (default: compare.json beside the set)."""


def compare(config: CompareConfig) -> dict[str, Any]:
    """Train all, print the table, write compare.json; the result as the JSON line. Raises UserError."""
    from distill.run import write_text

    if config.seeds < 1:
        raise UserError(f"--seeds must be above 0, not {config.seeds}")
    data, train, test = opened(config)
    if len(train) < 10:
        raise UserError(
            f"{train.name} has {len(train)} training items: at least 10 are needed, one in ten chooses"
        )
    names = networks_for(data, config.networks)
    path = Path(config.out or Path(config.set).with_name("compare.json"))
    if not path.parent.is_dir():
        raise UserError(f"{path} cannot be written (there is no folder {path.parent}): choose another --out")
    rows = measured(config, data, train, test, names)
    result = {"set": config.set, "seeds": config.seeds, "rows": rows}
    try:
        write_text(path, json.dumps(result, indent=2) + "\n")
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}): choose another --out") from None
    print(f"{config.set}: test accuracy in %, mean ± std of {config.seeds} networks\n")
    print(f"{table(rows, names)}\n\n{path}")
    return {**result, "path": str(path)}


def networks_for(data: "DistilledSet", named: tuple[str, ...]) -> list[str]:
    """The named networks, or all whose smallest item is no larger than the set's. Raises UserError."""
    from distill.student.training import network_of

    for name in named:
        network_of(data, name)
    return list(named) or [name for name in (TEXT_NETWORKS if data.text else NETWORKS) if fits(data, name)]


def fits(data: "DistilledSet", name: str) -> bool:
    from distill.student.training import network_of

    try:
        network_of(data, name)
    except NetworkError:
        return False
    return True


def measured(
    config: CompareConfig, data: "DistilledSet", train: "Dataset", test: "Dataset", names: list[str]
) -> list[Row]:
    """One row per network and kind of items; training the teacher on all real items comes first."""
    from tqdm import tqdm

    from distill.randomness import stream
    from distill.report import Report
    from distill.student.baselines import full_data, taught_by_all
    from distill.student.rivals import rivals, scored
    from distill.student.training import network_of, starts

    train, held_out = train.split(min(1000, len(train) // 10), stream("split", "compare"))
    own = network_of(data)
    print(f"training the teacher, {data.network['name']}, on {len(train)} items", file=sys.stderr)
    teacher = taught_by_all(train, held_out, own, starts(data, own, "random", 1)[0])
    draws, rows = rivals(data, train, teacher), []
    for network in names:
        for items, draw in tqdm(draws.items(), network, disable=not sys.stderr.isatty(), leave=False):
            scores, rates = scored(data, held_out, test, network, items, draw, config.seeds)
            rows.append(
                {"network": network, "items": items, "rates": rates, **Report(items, tuple(scores)).facts()}
            )
        if config.full_data:
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


def main(arguments: Sequence[str] | None = None, prog: str = "distill compare") -> int:
    """Parse, then import torch and run; the exit code."""
    config = parse(CompareConfig, arguments, prog)
    return answer(lambda: compare(config), config.json)


if __name__ == "__main__":
    sys.exit(main())
