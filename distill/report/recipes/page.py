"""write_run_page(): the runs of recipes as one HTML file, by the same rules as the page of sets."""

from collections.abc import Sequence
from pathlib import Path

from distill.registry import load
from distill.report.figures import format_duration
from distill.report.page import render_template
from distill.report.recipes import RECIPE_SECTIONS
from distill.report.recipes.curves import STYLES
from distill.report.recipes.reported import ReportedRun
from distill.report.recipes.scores import compare_runs
from distill.report.sanitise import JsonDict, shorten, to_count, to_dict, to_number
from distill.sets.storage import write_text


def write_run_page(path: Path, runs: Sequence[ReportedRun]) -> None:
    """The page of one run, or of several with a table that compares them; whole or not at all."""
    write_text(path, render_run_page(runs))


def render_run_page(runs: Sequence[ReportedRun]) -> str:
    """The page. Every word of a run is escaped."""
    views = [view_run(run) for run in runs]
    return render_template("recipes/page.html", runs=views, rows=compare_runs(runs), styles=STYLES)


def view_run(run: ReportedRun) -> JsonDict:
    """All that the template needs of one run."""
    contents = {word: load(entry)(run) for word, entry in RECIPE_SECTIONS.items()}
    return {
        "name": run.name,
        "title": describe_run(run),
        "ended": bool(run.result),
        "path": run.path,
        "tiles": list_tiles(run),
        "sections": [
            {"word": word, "title": RECIPE_SECTIONS[word].summary, "content": content}
            for word, content in contents.items()
            if content
        ],
    }


def describe_run(run: ReportedRun) -> str:
    """'mnist: 4 networks in 3 stages'."""
    parts = [
        f"{len(part):,} {noun}{'s' * (len(part) != 1)}"
        for part, noun in ((run.networks, "network"), (run.stages, "stage"))
    ]
    return f"{shorten(run.data.get('name', 'mnist'), 60)}: {' in '.join(parts)}"


def list_tiles(run: ReportedRun) -> list[tuple[str, str]]:
    """The figures at the head of the page, each with its words."""
    items, seconds = to_dict(run.result.get("items")), to_number(run.result.get("seconds"))
    train, seed = to_count(items.get("train")), run.recipe.get("seed", 0)
    tiles = [
        (f"{len(run.networks):,}", "networks"),
        (f"{len(run.stages):,}", "stages"),
        ("" if train is None else f"{train:,}", "training items"),
        ("" if run.items is None else f"{run.items:,}", f"{run.split} items"),
        (shorten(seed, 20) if isinstance(seed, int) else "", "seed"),
        ("" if seconds is None else format_duration(seconds), "time of the run"),
    ]
    return [tile for tile in tiles if tile[0]]
