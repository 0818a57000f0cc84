"""`distill teach RECIPE.yaml`: an experiment of knowledge distillation from one declarative file."""

import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tyro.conf import Positional

from distill.config import answer, parse
from distill.errors import UserError
from distill.student.recipe import Recipe, read, written

if TYPE_CHECKING:
    from distill.student.follow import Sources
    from distill.student.terms import Members


@dataclass(frozen=True)
class TeachConfig:
    """Follow a recipe: train its networks stage by stage, and measure each on real test data."""

    recipe: Positional[str]
    """A YAML file: data, networks, stages."""
    set: tuple[str, ...] = ()
    """Changes of the recipe, as stages.1.epochs=3 data.train=1000."""
    out: str | None = None
    """Where the resolved recipe, the scores and every network's weights are written
    (default: runs/RECIPE-sSEED)."""
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
    recipe = read(config.recipe, config.set)
    folder = Path(config.out or f"runs/{Path(config.recipe).stem}-s{recipe.seed}")
    if (folder / "scores.json").exists() and not config.overwrite:
        raise UserError(f"{folder} holds another run: give --overwrite or another --out")
    from distill.run import check_device

    check_device(config.device, config.threads)
    fresh = made(folder)
    try:
        result = run(recipe, folder, config.device)
    except UserError as error:
        if fresh and not any(folder.iterdir()):
            folder.rmdir()
        where = "" if str(error).startswith(config.recipe) else f"{config.recipe}: "
        raise UserError(f"{where}{error}") from None
    print(f"{config.recipe}, seed {recipe.seed}: {recipe.data.score} accuracy\n\n{table(result['networks'])}")
    print(f"\n{folder}")
    return {**result, "path": str(folder)}


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
    from distill.run import write_text
    from distill.student.follow import opened
    from distill.student.measure import measured

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

    from distill.student.follow import follow

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


def main(arguments: Sequence[str] | None = None, prog: str = "python -m distill.student.teach") -> int:
    """Parse, then import torch and run; the exit code."""
    config = parse(TeachConfig, arguments, prog)
    return answer(lambda: teach(config), config.json)


if __name__ == "__main__":
    sys.exit(main())
