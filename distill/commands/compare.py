"""`distill compare SET.pt`: a set beside random, selected and all real items, on several networks."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.commands.cli import run_command
from distill.commands.set_options import SetSettings, check_place, load_set_and_data
from distill.registry import COUNT, option


@dataclass(frozen=True)
class CompareSettings(SetSettings):
    """Compare a distilled set with random, k-means, herding and k-center items, on several networks."""

    draws_items = True
    networks: tuple[str, ...] = option((), "NETWORK")
    """The networks to train (default: all for this kind of data, if the items are large enough for them)."""
    seeds: int = option(5, "COUNT", **COUNT)
    """How many networks, and draws of items, give a mean ± std."""
    full_data: bool = option(False)
    """Also train each of the networks on all real data (slow)."""
    out: str | None = option(None, "FILE")
    """Where the scores are written (default: compare.json, in the folder of the set)."""


SETTINGS = CompareSettings


def compare(config: CompareSettings) -> dict[str, Any]:
    """Train all, print the table, write compare.json; the result as the JSON line. Raises UserError."""
    from distill.sets.storage import write_text
    from distill.student.comparison import choose_networks, compare_items, format_table

    data, train, test = load_set_and_data(config)
    names = choose_networks(data, config.networks)
    path = Path(config.out or Path(config.set).with_name("compare.json"))
    check_place(path, config, data)
    rows = compare_items(data, train, test, names, config.seeds, config.full_data)
    result = {"set": config.set, "seeds": config.seeds, "rows": rows}
    write_text(path, json.dumps(result, indent=2) + "\n")
    print(f"{config.set}: test accuracy in %, mean ± std of {config.seeds} networks\n")
    print(f"{format_table(rows, names)}\n\n{path}")
    return {**result, "path": str(path)}


def main(arguments: Sequence[str] | None = None, prog: str = "distill compare") -> int:
    """Parse, then import torch and run; the exit code."""
    return run_command(SETTINGS, compare, arguments, prog)
