"""Recipes for tests: small networks on generated 8×8 images."""

from pathlib import Path
from typing import Any

import torch
import yaml

from distill.kd.networks import Network, Networks
from distill.kd.recipe.files import parse_value
from distill.kd.recipe.parts import Recipe
from distill.kd.run import run_recipe
from distill.kd.sources import load_sources
from tests.helpers import write_npz

CE = {"loss": "cross-entropy"}
NET = {"name": "convnet", "width": 4, "depth": 2}


def hinton(teacher: str, weight: float = 0.9, tau: float = 4.0, **options: Any) -> dict[str, Any]:
    return {"loss": "hinton", "teacher": teacher, "weight": weight, "tau": tau, **options}


def kd(teacher: str) -> list[dict[str, Any]]:
    return [{**CE, "weight": 0.1}, hinton(teacher)]


def build_raw_recipe(
    folder: Path, networks: dict[str, Any], stages: list[dict[str, Any]], **data: Any
) -> dict[str, Any]:
    """A recipe as its YAML holds it; an .npz is written for it."""
    file = folder / "blobs.npz"
    if not file.exists():
        write_npz(file)
    common = {"batch": 32, "lr": 0.01}
    return {
        "data": {"name": str(file), **data},
        "networks": networks,
        "stages": [{**common, **stage} for stage in stages],
    }


def write_recipe(folder: Path, raw_recipe: dict[str, Any]) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(raw_recipe, sort_keys=False), encoding="utf-8")
    return path


def parse_recipe(raw_recipe: dict[str, Any]) -> Recipe:
    return parse_value(Recipe, raw_recipe, "")


def train_recipe(raw_recipe: dict[str, Any]) -> Networks:
    """The networks of a recipe that is run to its end."""
    recipe = parse_recipe(raw_recipe)
    steps = run_recipe(recipe, load_sources(recipe.data, recipe.seed, "cpu"))
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def same_weights(a: Network, b: Network) -> bool:
    second = b.student.state_dict()
    return all(torch.equal(w, second[name]) for name, w in a.student.state_dict().items())
