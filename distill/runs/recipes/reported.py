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
from distill.report.sanitise import JsonDict, to_dict
from distill.runs.files import log
from distill.runs.files.reported import name_path
from distill.runs.recipes.folder import ALPHAS, RECIPE, SCORES, is_recipe_run

LARGEST_JSON = 1 << 24  # bytes


def load_reported_runs(paths: Sequence[str]) -> list[ReportedRun]:
    """The run in each folder, under names that tell them apart. Raises UserError."""
    for path in paths:
        if not is_recipe_run(Path(path)):
            raise RunError(f"{path} is not a recipe's run, as the others are: show it on a page of its own")
    names = Counter(map(name_path, paths))
    return [load_reported_run(p, name_path(p) if names[name_path(p)] == 1 else p) for p in paths]


def load_reported_run(path: str, name: str, result: JsonDict | None = None) -> ReportedRun:
    """A run's recipe, scores, log and searched weights. Raises RunError where its recipe is damaged.

    result: the scores of a run whose scores.json is yet to be written.
    """
    folder = Path(path)
    try:
        recipe = to_dict(load_yaml(folder / RECIPE))
        text = (folder / RECIPE).read_text(encoding="utf-8")
    except RecipeError as error:
        raise RunError(str(error)) from None
    records = [record for record in log.read_lines(folder / log.NAME) if isinstance(record, dict)]
    scores, alphas = (to_dict(read_json(folder / file)) for file in (SCORES, ALPHAS))
    return ReportedRun(name, path, text, recipe, result or scores, records, alphas)


def read_json(path: Path) -> Any:
    """What a JSON file holds; None where it is missing, damaged or far too large."""
    try:
        return json.loads(path.read_bytes()) if path.stat().st_size <= LARGEST_JSON else None
    except (OSError, ValueError, RecursionError):
        return None
