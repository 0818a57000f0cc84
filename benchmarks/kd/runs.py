"""Runs: one recipe with one seed in a folder, all of them one after the other, and what they wrote."""

import json
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.kd import load_recipe
from distill.errors import UserError
from distill.kd.measure import Measurement, measure_networks
from distill.kd.recipe.parts import Recipe
from distill.kd.run import run_recipe
from distill.kd.sources import load_sources


@dataclass(frozen=True)
class Job:
    """One run: a recipe, a seed, and the changes that lead to the data."""

    recipe: str
    seed: int
    changes: tuple[str, ...] = ()

    def folder(self, root: Path) -> Path:
        return root / f"{self.recipe}-s{self.seed}"


def run_job(root: Path, job: Job) -> str | None:
    """Run a recipe, if it is not done, and keep its scores and predictions; a sentence where it fails."""
    folder, began = job.folder(root), time.perf_counter()
    if (folder / "scores.json").exists():
        return None
    folder.mkdir(parents=True, exist_ok=True)
    try:
        measured = train_and_measure(load_recipe(job.recipe, [f"seed={job.seed}", *job.changes]))
    except UserError as error:
        return f"{job.recipe}, seed {job.seed}: {error}"
    for split, predictions in measured.predictions.items():
        arrays = {name: classes.numpy() for name, classes in predictions.networks.items()}
        save_arrays(folder / f"{split}.npz", arrays | {"labels": predictions.labels.numpy()})
    scores = {"networks": measured.scores, "seconds": round(time.perf_counter() - began, 1)}
    (folder / "scores.json").write_text(json.dumps(scores, indent=1), encoding="utf-8")
    return None


def train_and_measure(recipe: Recipe) -> Measurement:
    """The scores and predictions of a recipe's networks, trained in this process. Raises UserError."""
    torch.set_num_threads(1)
    sources = load_sources(recipe.data, recipe.seed, "cpu")
    steps = run_recipe(recipe, sources)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return measure_networks(recipe, end.value, sources)


def save_arrays(path: Path, arrays: dict[str, Any]) -> None:
    """An .npz of arrays by name."""
    np.savez_compressed(path, **arrays)


def run_all(root: Path, jobs: Sequence[Job], workers: int) -> None:
    """All runs, with the time that is left by the mean of those that are done."""
    start = time.monotonic()
    with ProcessPoolExecutor(workers) as pool:
        futures = {pool.submit(run_job, root, job): job for job in jobs}
        for count, future in enumerate(as_completed(futures), 1):
            left = (time.monotonic() - start) / count * (len(jobs) - count) / 60
            problem, job = future.result(), futures[future]
            print(
                problem or f"{job.recipe}, seed {job.seed}: {count} of {len(jobs)}, {left:.0f} min left",
                flush=True,
            )


def list_seeds(root: Path, recipe: str) -> list[int]:
    """The seeds of a recipe's finished runs."""
    return sorted(int(p.parent.name.split("-s")[-1]) for p in root.glob(f"{recipe}-s*/scores.json"))


def load_scores(root: Path, recipe: str) -> list[dict[str, Any]]:
    """The scores of a recipe's runs, by seed."""
    paths = [Job(recipe, seed).folder(root) / "scores.json" for seed in list_seeds(root, recipe)]
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


@lru_cache(maxsize=64)
def load_correct(folder: Path, split: str) -> dict[str, NDArray[np.bool_]]:
    """For each network of a run, which items of a split it classifies correctly."""
    with np.load(folder / f"{split}.npz") as file:
        return {name: file[name] == file["labels"] for name in file.files if name != "labels"}


def stack_correct(root: Path, recipe: str, network: str, split: str = "test") -> NDArray[np.float64] | None:
    """1 where a network is right, else 0, (seeds, items); None where there is no run or no such network."""
    folders = [Job(recipe, seed).folder(root) for seed in list_seeds(root, recipe)]
    rows = [load_correct(folder, split).get(network) for folder in folders]
    return np.stack(rows).astype(np.float64) if rows and all(row is not None for row in rows) else None  # type: ignore[arg-type]


def load_predictions(root: Path, recipe: str, split: str = "test") -> list[dict[str, NDArray[np.int64]]]:
    """The classes that the networks of each run give the items of a split, with those of the labels."""
    folders = [Job(recipe, seed).folder(root) for seed in list_seeds(root, recipe)]
    arrays = []
    for folder in folders:
        with np.load(folder / f"{split}.npz") as file:
            arrays.append({name: file[name] for name in file.files})
    return arrays
