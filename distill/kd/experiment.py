"""`distill teach RECIPE.yaml`: an experiment of knowledge distillation from one declarative file."""

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from distill.errors import UserError
from distill.kd.recipe import Recipe, written

if TYPE_CHECKING:
    from distill.kd.run import Sources
    from distill.kd.terms import Members


def made(folder: Path) -> bool:
    """Whether the folder had to be made: before hours of training rather than after. Raises UserError."""
    before = folder.is_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(f"{folder} cannot be written ({error.strerror}): choose another --out") from None
    return not before


def run(recipe: Recipe, folder: Path, device: str = "cpu") -> dict[str, Any]:
    """Follow a recipe and write what came out: recipe.yaml, NAME.pt of each network, then scores.json."""
    from distill.kd.measure import measured
    from distill.kd.run import opened
    from distill.sets.storage import write_text

    began = time.perf_counter()
    sources = opened(recipe.data, recipe.seed, device)
    members = trained(recipe, sources, device)
    result = {
        "networks": measured(recipe, members, sources),
        "seconds": round(time.perf_counter() - began, 1),
    }
    try:
        write_text(folder / "recipe.yaml", written(recipe))
        for name in recipe.networks:
            members[name].save(str(folder / f"{name}.pt"))
        write_text(folder / "scores.json", json.dumps(result, indent=2) + "\n")
    except OSError as error:
        raise UserError(f"{folder} cannot be written ({error.strerror}): choose another --out") from None
    return result


def trained(recipe: Recipe, sources: "Sources", device: str) -> "Members":
    """The recipe followed to its end, with a line of progress on a terminal."""
    from tqdm import tqdm

    from distill.kd.run import follow

    steps = follow(recipe, sources, device)
    with tqdm(total=len(recipe.stages), unit="stage", disable=not sys.stderr.isatty(), leave=False) as bar:
        while True:
            try:
                progress = next(steps)
            except StopIteration as end:
                members: Members = end.value
                return members
            bar.n = round(progress.stage - 1 + progress.done, 2)
            bar.set_postfix_str(" ".join(f"{loss:.3f}" for loss in progress.losses))


def table(networks: dict[str, dict[str, float]]) -> str:
    """One line per network: its name and its scores."""
    width = max(len(name) for name in networks)
    return "\n".join(
        f"  {name:<{width}}  " + ", ".join(f"{100 * v:.2f} %{label(k)}" for k, v in scores.items())
        for name, scores in networks.items()
    )


def label(score: str) -> str:
    """What a score is of, behind its number."""
    return {
        "accuracy": "",
        "target": " on the target",
        "clusters": " in the subclass of their old class",
        "regularising": " of the training items are regularisation samples",
    }[score]
