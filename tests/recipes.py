"""Recipes for tests: small networks on generated 8×8 images."""

from pathlib import Path
from typing import Any

import torch
import yaml

from distill.kd.recipe import Recipe, made
from distill.kd.run import follow, opened
from distill.kd.terms import Members
from tests.helpers import write_npz

CE = {"loss": "cross-entropy"}
NET = {"name": "convnet", "width": 4, "depth": 2}


def hinton(teacher: str, weight: float = 0.9, tau: float = 4.0, **more: Any) -> dict[str, Any]:
    return {"loss": "hinton", "teacher": teacher, "weight": weight, "tau": tau, **more}


def kd(teacher: str) -> list[dict[str, Any]]:
    return [{**CE, "weight": 0.1}, hinton(teacher)]


def raw(folder: Path, networks: dict[str, Any], stages: list[dict[str, Any]], **data: Any) -> dict[str, Any]:
    """A recipe's words; an .npz is written for it."""
    file = folder / "blobs.npz"
    if not file.exists():
        write_npz(file)
    common = {"batch": 32, "lr": 0.01}
    return {
        "data": {"name": str(file), **data},
        "networks": networks,
        "stages": [{**common, **stage} for stage in stages],
    }


def write(folder: Path, words: dict[str, Any]) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(words, sort_keys=False), encoding="utf-8")
    return path


def trained(words: dict[str, Any]) -> Members:
    """The networks of a recipe followed to its end."""
    recipe: Recipe = made(Recipe, words, "")
    steps = follow(recipe, opened(recipe.data, recipe.seed, "cpu"))
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def same(a: Any, b: Any) -> bool:
    return all(torch.equal(a.weights[name], b.weights[name]) for name in a.weights)
