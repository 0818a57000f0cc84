"""write_report(): the report page of whatever a user names, sets and their runs or runs of recipes."""

from collections.abc import Sequence
from pathlib import Path

from distill.report.page import write_page
from distill.report.recipes.page import write_run_page
from distill.runs.files.reported import load_reported_sets
from distill.runs.recipes.folder import is_recipe_run
from distill.runs.recipes.reported import load_reported_runs


def write_report(path: Path, paths: Sequence[str]) -> list[str]:
    """Write the page of the sets, or of the recipes' runs, at these paths; their names. Raises UserError."""
    if any(is_recipe_run(Path(path)) for path in paths):
        runs = load_reported_runs(paths)
        write_run_page(path, runs)
        return [run.name for run in runs]
    sets = load_reported_sets(paths)
    write_page(path, sets)
    return [reported.name for reported in sets]
