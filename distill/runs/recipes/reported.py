"""Opens the folders of recipes' runs for the report, which itself knows no folder."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from distill.errors import RunError
from distill.kd.recipe.files import load_yaml
from distill.kd.recipe.parts import RecipeError
from distill.report.recipes.reported import ReportedRun
from distill.report.sanitise import to_dict
from distill.runs.files import log
from distill.runs.files.reported import name_path

RECIPE, SCORES, ALPHAS, CHECKPOINT = "recipe.yaml", "scores.json", "alphas.json", "run.ckpt"
LARGEST_JSON = 1 << 24  # bytes


def is_recipe_run(path: str) -> bool:
    """Whether a folder holds a recipe's run: one that has ended, or that can go on."""
    folder = Path(path)
    ended_or_not = any((folder / name).is_file() for name in (SCORES, CHECKPOINT))
    return ended_or_not and (folder / RECIPE).is_file()


def load_reported_runs(paths: Sequence[str]) -> list[ReportedRun]:
    """The run in each folder, under names that tell them apart. Raises UserError."""
    for path in paths:
        if not is_recipe_run(path):
            raise RunError(f"{path} is not a recipe's run, as the others are: show it on a page of its own")
    names = Counter(map(name_path, paths))
    return [load_reported_run(p, name_path(p) if names[name_path(p)] == 1 else p) for p in paths]


def load_reported_run(path: str, name: str) -> ReportedRun:
    """A run's recipe, scores, log and searched weights. Raises UserError where its recipe is damaged."""
    folder = Path(path)
    try:
        recipe = to_dict(load_yaml(folder / RECIPE))
        text = (folder / RECIPE).read_text(encoding="utf-8")
    except RecipeError as error:
        raise RunError(str(error)) from None
    records = [record for record in log.read_lines(folder / log.NAME) if isinstance(record, dict)]
    result, alphas = (to_dict(read_json(folder / file)) for file in (SCORES, ALPHAS))
    return ReportedRun(name, path, text, recipe, result, records, alphas)


def read_json(path: Path) -> Any:
    """What a JSON file holds; None where it is missing, damaged or far too large."""
    try:
        return json.loads(path.read_bytes()) if path.stat().st_size <= LARGEST_JSON else None
    except (OSError, ValueError, RecursionError):
        return None
