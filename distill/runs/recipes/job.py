"""A recipe run in a folder: it begins, or goes on from its checkpoint, and leaves scores and networks."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.errors import UserError
from distill.kd.recipe.files import format_recipe
from distill.kd.recipe.parts import Recipe
from distill.kd.sources import load_sources
from distill.kd.state.run import Progress, RecipeRun
from distill.runs.files.folder import lock_folder
from distill.runs.files.log import LogFile, read_lines
from distill.runs.interrupt import delay_interrupt
from distill.runs.recipes import folder as files
from distill.runs.recipes.checkpoint import (
    Digests,
    describe_sources,
    digest_plugins,
    explain_state,
    load_checkpoint,
    save_checkpoint,
)
from distill.runs.recipes.progress import ProgressBar
from distill.runs.recipes.result import write_result
from distill.sets.storage import write_text

SAVE_EVERY, SAVE_SHARE = 60.0, 0.05  # seconds between two checkpoints; most of the time that they may take


@dataclass(frozen=True)
class Place:
    """Where a run is, the file of its recipe, and whether it goes on there or may replace another."""

    folder: Path
    recipe: str
    resume: bool = False
    overwrite: bool = False


def run_in_folder(recipe: Recipe, place: Place, device: str = "cpu") -> dict[str, Any]:
    """Run a recipe in a folder that is checked first, and removed again where a new run fails at once.

    Raises UserError that names the recipe's file, and KeyboardInterrupt with what to do after Ctrl-C.
    """
    is_new = False
    try:
        if place.resume:
            files.check_resumed(recipe, place.folder, place.overwrite, [place.recipe])
        else:
            is_new = files.create_folder(place.folder)
            files.check_new(recipe, place.folder, place.overwrite, [place.recipe])
        with lock_folder(place.folder, [f"{name}.*" for name in files.list_files(recipe)]):
            return run_recipe(recipe, place, device)
    except UserError as error:
        if is_new and not any(place.folder.iterdir()):
            place.folder.rmdir()
        where = "" if str(error).startswith(place.recipe) else f"{place.recipe}: "
        raise UserError(f"{where}{error}") from None


def run_recipe(recipe: Recipe, place: Place, device: str) -> dict[str, Any]:
    """Train and measure; the result as scores.json holds it. Raises UserError, KeyboardInterrupt."""
    start, folder = time.perf_counter(), place.folder
    plugins = digest_plugins(recipe)  # before the training, during which the files may change
    sources = load_sources(recipe.data, recipe.seed, device)
    run, facts = RecipeRun(recipe, sources, device), describe_sources(sources)
    if place.resume:
        start -= load_checkpoint(folder, run, plugins, facts)
    else:
        save_checkpoint(folder, run, plugins, facts, 0.0)
        files.remove_old(folder)
        write_text(folder / files.RECIPE, format_recipe(recipe))
    keeper = Keeper(folder, run, plugins, facts, start)
    try:
        with explain_state(folder / files.CHECKPOINT):  # a stage loads its part when it is built
            train(run, keeper)
        return write_result(folder, run, device, start)
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt(str(error) or "stopped: the same command with --resume goes on") from None


class Keeper:
    """Keeps a run's log and its checkpoint up to date."""

    def __init__(
        self, folder: Path, run: RecipeRun, plugins: Digests, facts: dict[str, Any], start: float
    ) -> None:
        self.folder, self.run, self.start = folder, run, start
        self.plugins, self.facts = plugins, facts
        records = read_lines(folder / files.LOG)[: run.records]  # what came after the checkpoint comes again
        self.log = LogFile(folder, records)
        self.saved, self.cost = time.perf_counter(), 0.0

    def seconds(self) -> float:
        """What the run has taken, sessions before a resumption included."""
        return time.perf_counter() - self.start

    def is_due(self, progress: Progress) -> bool:
        """Whether a checkpoint is due: at the end of a stage, and now and then."""
        passed = time.perf_counter() - self.saved
        return progress.share >= 1 or passed > max(SAVE_EVERY, self.cost / SAVE_SHARE)

    def save(self) -> None:
        """Write a checkpoint, once the log that goes with it is on the disk."""
        before = time.perf_counter()
        self.log.sync()
        save_checkpoint(self.folder, self.run, self.plugins, self.facts, self.seconds())
        self.saved = time.perf_counter()
        self.cost = self.saved - before


def train(run: RecipeRun, keeper: Keeper) -> None:
    """Train to the end, with log, checkpoints and progress; Ctrl-C leaves a checkpoint of the last batch."""
    bar = ProgressBar(run.count_batches())
    try:
        with delay_interrupt() as interrupt:
            for progress in run:
                for record in progress.records:
                    keeper.log.add(record)
                bar.show(progress)
                stopping = interrupt.requested  # once: Ctrl-C may come between two looks
                if stopping or keeper.is_due(progress):
                    keeper.save()
                    bar.skip()
                if stopping:
                    raise KeyboardInterrupt(describe_stop(progress))
    finally:
        bar.close()


def describe_stop(progress: Progress) -> str:
    """'stopped at 40 % of stage 2 of 3: the same command with --resume goes on'."""
    place = f"{100 * progress.share:.0f} % of stage {progress.stage} of {progress.stages}"
    return f"stopped at {place}: the same command with --resume goes on"
