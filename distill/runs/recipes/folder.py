"""The folder of a recipe's run: whose it is, and whether a run may begin or go on in it."""

import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

from distill.errors import UserError
from distill.kd.recipe.parts import Recipe
from distill.sets.storage import check_output

RECIPE, SCORES, ALPHAS, LOG = "recipe.yaml", "scores.json", "alphas.json", "log.jsonl"
PREDICTIONS, PAGE = "predictions.npz", "report.html"
CHECKPOINT = "run.ckpt"  # never the name of a network's file, which ends with .pt
FORMAT = "distill-recipe-checkpoint/1"
AT_THE_END = (SCORES, PREDICTIONS, ALPHAS, PAGE)


def has_ended(folder: Path) -> bool:
    """Whether the run in a folder has its scores, which are written last."""
    return (folder / SCORES).is_file()


def can_go_on(folder: Path) -> bool:
    """Whether a folder holds the checkpoint of a recipe's run; nothing is loaded to know it."""
    try:
        with zipfile.ZipFile(folder / CHECKPOINT) as archive:
            pickle = next(name for name in archive.namelist() if name.endswith("data.pkl"))
            return FORMAT.rpartition("/")[0].encode() in archive.read(pickle)[:4096]
    except (OSError, StopIteration, zipfile.BadZipFile, RuntimeError, NotImplementedError):
        return False


def is_recipe_run(folder: Path) -> bool:
    """Whether a folder holds a recipe's run: one that has ended, or that can go on."""
    return (folder / RECIPE).is_file() and (has_ended(folder) or (folder / CHECKPOINT).is_file())


def create_folder(folder: Path) -> bool:
    """Create the folder where it is missing; True where it was. Raises UserError.

    Whether it can be written is known before hours of training rather than after.
    """
    exists = folder.is_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"{folder} cannot be written ({error.strerror}): choose another --out") from None
    return not exists


def check_new(recipe: Recipe, folder: Path, overwrite: bool, inputs: Sequence[str]) -> None:
    """Raise UserError where a file that a new run writes would replace another's, or one it reads."""
    for name in list_files(recipe):
        if (folder / name).exists() and not (has_ended(folder) or can_go_on(folder)):
            raise UserError(f"{folder} holds {name}, and no scores.json beside it: give another --out")
        if (folder / name).exists() and not overwrite:
            raise UserError(f"{folder} holds {describe_run(folder)} or another --out")
        check_output(folder / name, list_inputs(recipe, inputs))


def describe_run(folder: Path) -> str:
    """What a folder that is not free holds, and what to give."""
    if has_ended(folder):
        return "another run: give --overwrite"
    return "a run that has not ended: give --resume to go on with it, --overwrite to replace it,"


def check_resumed(recipe: Recipe, folder: Path, overwrite: bool, inputs: Sequence[str]) -> None:
    """Raise UserError where there is nothing to go on with, or a network would replace what is read."""
    if overwrite:
        raise UserError("--overwrite has no effect beside --resume: leave one of them out")
    if has_ended(folder):
        raise UserError(f"{folder} holds a run that has ended: its scores are in {SCORES}")
    if not (folder / CHECKPOINT).is_file():
        raise UserError(f"{folder} holds no run to go on with: leave --resume out to begin one")
    for name in list_files(recipe):
        if name != RECIPE:  # it stays, and may be what is read
            check_output(folder / name, list_inputs(recipe, inputs))


def list_files(recipe: Recipe) -> list[str]:
    """The names of all that a run writes."""
    return [RECIPE, CHECKPOINT, LOG, *AT_THE_END, *(f"{name}.pt" for name in recipe.networks)]


def list_inputs(recipe: Recipe, inputs: Sequence[str]) -> list[str | None]:
    """What a run reads, and so never replaces."""
    data, networks = recipe.data, recipe.networks.values()
    of_networks = [file for network in networks for file in (network.checkpoint, network.alphas)]
    return [data.name, data.set, data.vectors, data.target, *of_networks, *recipe.plugins, *inputs]


def remove_old(folder: Path) -> None:
    """Remove what an older run left at its end, so that nobody takes it for the new run's."""
    for name in AT_THE_END:
        (folder / name).unlink(missing_ok=True)
