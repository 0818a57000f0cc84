"""Experiments: a recipe run into a folder that holds the resolved recipe, the scores and the networks."""

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distill.errors import UserError
from distill.kd.recipe.files import format_recipe
from distill.kd.recipe.parts import Recipe

if TYPE_CHECKING:
    from distill.kd.networks import Networks
    from distill.kd.sources import Sources

EVERY = 10.0  # seconds between two lines of progress where there is no terminal
SCORE_LABELS = {
    "accuracy": "",
    "target": " on the target",
    "clusters": " in the subclass of their old class",
    "regularising": " of the training items are regularisation samples",
}


def run_in_folder(
    recipe: Recipe, folder: Path, overwrite: bool, device: str = "cpu", inputs: Sequence[str] = ()
) -> dict[str, Any]:
    """run_experiment in a folder that is checked first, and removed again where the run fails at once.

    inputs: files that it reads beside those that the recipe names, and never replaces. Raises UserError.
    """
    fresh = create_folder(folder)
    try:
        check_outputs(recipe, folder, overwrite, inputs)
        return run_experiment(recipe, folder, device)
    except UserError:
        if fresh and not any(folder.iterdir()):
            folder.rmdir()
        raise


def check_outputs(recipe: Recipe, folder: Path, overwrite: bool, inputs: Sequence[str]) -> None:
    """Raise UserError where a file that the experiment writes would replace another's, or one it reads."""
    from distill.sets.storage import check_output

    data, networks = recipe.data, recipe.networks.values()
    read = [data.name, data.set, data.vectors, data.target, *inputs]
    read += [file for network in networks for file in (network.checkpoint, network.alphas)]
    for name in ("recipe.yaml", "scores.json", "alphas.json", *(f"{name}.pt" for name in recipe.networks)):
        if (folder / name).exists() and not (folder / "scores.json").is_file():
            raise UserError(f"{folder} holds {name}, and no scores.json beside it: give another --out")
        if (folder / name).exists() and not overwrite:
            raise UserError(f"{folder} holds another run: give --overwrite or another --out")
        check_output(folder / name, read)


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


def run_experiment(recipe: Recipe, folder: Path, device: str = "cpu") -> dict[str, Any]:
    """Run a recipe and write recipe.yaml, NAME.pt of each network, then scores.json. Raises UserError."""
    from distill.kd.measure import score_networks
    from distill.kd.sources import load_sources
    from distill.kd.techniques.alphas import format_alphas
    from distill.sets.storage import write_text

    began = time.perf_counter()
    sources = load_sources(recipe.data, recipe.seed, device)
    networks = train_networks(recipe, sources, device)
    scores = score_networks(recipe, networks, sources)
    result = {"networks": scores, "seconds": round(time.perf_counter() - began, 1)}
    write_text(folder / "recipe.yaml", format_recipe(recipe))
    for name in recipe.networks:
        networks[name].save(str(folder / f"{name}.pt"))
    if alphas := format_alphas({name: networks[name].alphas for name in recipe.networks}):
        write_text(folder / "alphas.json", alphas)
    write_text(folder / "scores.json", json.dumps(result, indent=2) + "\n")
    return result


def train_networks(recipe: Recipe, sources: "Sources", device: str) -> "Networks":
    """The trained networks of a recipe, with a bar, or a line now and then. Raises UserError."""
    from tqdm import tqdm

    from distill.kd.run import run_recipe

    steps, last, quiet = run_recipe(recipe, sources, device), time.perf_counter(), not sys.stderr.isatty()
    with tqdm(total=len(recipe.stages), unit="stage", disable=quiet, leave=False) as bar:
        while True:
            try:
                progress = next(steps)
            except StopIteration as end:
                networks: Networks = end.value
                return networks
            bar.n = round(progress.stage - 1 + progress.share, 2)
            losses = " ".join(f"{loss:.3f}" for loss in progress.losses)
            bar.set_postfix_str(losses)
            if quiet and time.perf_counter() - last > EVERY:
                last = time.perf_counter()
                done = f"stage {progress.stage} of {progress.stages}, {100 * progress.share:.0f} %"
                print(f"{done}, loss {losses}", file=sys.stderr)


def format_scores(networks: dict[str, dict[str, float]]) -> str:
    """One line per network: its name and its scores."""
    width = max(len(name) for name in networks)
    return "\n".join(
        f"  {name:<{width}}  " + ", ".join(format_score(k, v) for k, v in scores.items())
        for name, scores in networks.items()
    )


def format_score(word: str, value: float) -> str:
    """One score: a share in percent, or the congruence loss in nats."""
    if word == "congruence":
        return f"{value:.4f} nats from the last anchor"
    return f"{100 * value:.2f} %{SCORE_LABELS[word]}"
