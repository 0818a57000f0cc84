"""`distill teach RECIPE.yaml`: an experiment of knowledge distillation from one declarative file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.commands.cli import run_command
from distill.kd.recipe.files import read_recipe
from distill.registry import THREADS, option


@dataclass(frozen=True)
class TeachSettings:
    """Run a recipe: train its networks stage by stage, and measure each on real test data."""

    recipe: str = option(metavar="RECIPE", positional=True)
    """A YAML file: data, networks, stages."""
    set: tuple[str, ...] = option((), "KEY=VALUE")
    """Changes of the recipe, such as stages.1.epochs=3 data.train=1000; stages count from 0."""
    out: str | None = option(None, "FOLDER")
    """The folder for the resolved recipe, the scores and the weights (default: runs/RECIPE-sSEED)."""
    resume: bool = option(False)
    """Go on with the run that was stopped in the folder --out, to the same bits."""
    overwrite: bool = option(False)
    """Replace the run that is in the folder --out."""
    allow_plugins: bool = option(False)
    """Import the Python files that the recipe names as plugins, which runs them."""
    device: str = option("cpu", "DEVICE")
    """Where to compute: cpu, cuda or cuda:1."""
    threads: int = option(1, "COUNT", **THREADS)
    """Threads of torch on a CPU."""
    json: bool = option(False)
    """Also print the result, as one line of JSON at the end."""


SETTINGS = TeachSettings


def teach(config: TeachSettings) -> dict[str, Any]:
    """Read, train, measure, write; the result as the JSON line holds it. Raises UserError."""
    recipe = read_recipe(config.recipe, config.set, config.allow_plugins)
    folder = Path(config.out or f"runs/{Path(config.recipe).stem}-s{recipe.seed}")
    from distill.runs.files.machine import check_device
    from distill.runs.recipes.job import Place, run_in_folder
    from distill.runs.recipes.result import format_scores

    check_device(config.device, config.threads)
    place = Place(folder, config.recipe, config.resume, config.overwrite)
    result = run_in_folder(recipe, place, config.device)
    scores = format_scores(result["networks"])
    print(f"{config.recipe}, seed {recipe.seed}: {recipe.data.score} accuracy\n\n{scores}\n\n{folder}")
    return {**result, "path": str(folder)}


def main(arguments: Sequence[str] | None = None, prog: str = "distill teach") -> int:
    """Parse, then import torch and run; the exit code."""
    return run_command(SETTINGS, teach, arguments, prog)
