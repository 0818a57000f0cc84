"""`distill teach RECIPE.yaml`: an experiment of knowledge distillation from one declarative file."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from distill.commands.cli import answer, parse
from distill.errors import UserError
from distill.kd.experiment import format_scores, run_in_folder
from distill.kd.recipe.files import read_recipe


@dataclass(frozen=True)
class TeachConfig:
    """Run a recipe: train its networks stage by stage, and measure each on real test data."""

    recipe: Positional[str]
    """A YAML file: data, networks, stages."""
    set: tuple[str, ...] = ()
    """Changes of the recipe, as stages.1.epochs=3 data.train=1000."""
    out: str | None = None
    """The folder for the resolved recipe, the scores and the weights (default: runs/RECIPE-sSEED)."""
    overwrite: bool = False
    """Replace the run that is in the folder."""
    device: str = "cpu"
    """cpu, cuda, cuda:1 …"""
    threads: int = 1
    """Threads of torch on a CPU."""
    json: bool = False
    """End with one line of JSON on stdout."""


def teach(config: TeachConfig) -> dict[str, Any]:
    """Read, train, measure, write; the result as the JSON line tells it. Raises UserError."""
    recipe = read_recipe(config.recipe, config.set)
    folder = Path(config.out or f"runs/{Path(config.recipe).stem}-s{recipe.seed}")
    from distill.runs.machine import check_device

    check_device(config.device, config.threads)
    try:
        result = run_in_folder(recipe, folder, config.overwrite, config.device)
    except UserError as error:
        where = "" if str(error).startswith(config.recipe) else f"{config.recipe}: "
        raise UserError(f"{where}{error}") from None
    scores = format_scores(result["networks"])
    print(f"{config.recipe}, seed {recipe.seed}: {recipe.data.score} accuracy\n\n{scores}\n\n{folder}")
    return {**result, "path": str(folder)}


def main(arguments: Sequence[str] | None = None, prog: str = "distill teach") -> int:
    """Parse, then import torch and run; the exit code."""
    config = parse(TeachConfig, arguments, prog)
    return answer(lambda: teach(config), config.json)
