"""`distill compare SET.pt`: a set beside random, selected and all real items, by protocol and network."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.commands.cli import run_command
from distill.commands.set_options import SetSettings, check_place, load_set_and_data
from distill.student.comparison.settings import CompareOptions


@dataclass(frozen=True)
class CompareSettings(CompareOptions, SetSettings):
    """Compare a distilled set with random, k-means, herding, k-center and RDED items on several networks."""

    draws_items = True


SETTINGS = CompareSettings


def compare(config: CompareSettings) -> dict[str, Any]:
    """Train all, print the table, write compare.json and a picture; the result as the JSON line has it."""
    from distill.kd.teachers import load_teacher
    from distill.report.comparison.picture import save_heat_map
    from distill.sets.provenance import digest_set
    from distill.sets.storage import with_final_name, write_text
    from distill.student.comparison.ddranking import format_scores, rank_columns
    from distill.student.comparison.grid import build_grid, compare_items
    from distill.student.comparison.table import format_table

    data, train, test = load_set_and_data(config)
    path = Path(config.out or with_final_name(config.set).with_name("compare.json"))
    for place in (path, path.with_suffix(".png")):
        check_place(place, config, data)
    teacher = load_teacher(config.teacher, data, train=train) if config.teacher else None
    words = (config.networks, config.protocols, config.baselines)
    grid = build_grid(data, *words, config.seeds, config.full_data, teacher)
    rows = compare_items(data, train, test, grid)
    scores = rank_columns(rows)
    names = {"set": config.set, "digest": digest_set(data)}
    result = {**names, "seeds": config.seeds, "rows": rows, "ddranking": scores}
    write_text(path, json.dumps(result, indent=2) + "\n")
    save_heat_map(path.with_suffix(".png"), rows)
    note = data.compare_bytes("items")
    print(f"{config.set}: test accuracy in %, mean ± std of {config.seeds} networks.{note}\n")
    print(f"{format_table(rows)}\n\n{format_scores(scores)}\n\n{path}")
    return {**result, "path": str(path)}


def main(arguments: Sequence[str] | None = None, prog: str = "distill compare") -> int:
    """Parse, then import torch and run; the exit code."""
    return run_command(SETTINGS, compare, arguments, prog)
