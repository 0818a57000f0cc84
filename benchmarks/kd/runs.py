"""Runs: one recipe with one seed in a folder, all of them one after the other, and what they wrote.

A folder holds scores.json (scores, numbers of parameters, seconds), test.npz and target.npz (the class that
each network gives each item), log.jsonl (as of `distill teach`), alphas.json (of a search), and curves.npz
(which test items a network gets right after each epoch, for the networks in CURVES).
"""

import json
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.kd import CURVES, FIRST_SEEDS, load_recipe
from distill.errors import UserError
from distill.kd.measure import Measurement, measure_networks, prepare_student
from distill.kd.networks import Networks
from distill.kd.recipe.parts import Recipe
from distill.kd.sources import load_sources
from distill.kd.state.run import RecipeRun, Record
from distill.kd.techniques.alphas import format_alphas
from distill.student.evaluation import predict_classes

Curves = dict[str, list[NDArray[np.bool_]]]  # by network: for each epoch, which test items are right


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
        recipe = load_recipe(job.recipe, [f"seed={job.seed}", *job.changes])
        trained = train_recipe(recipe, CURVES.get(job.recipe, ()))
    except UserError as error:
        return f"{job.recipe}, seed {job.seed}: {error}"
    save_run(folder, trained, round(time.perf_counter() - began, 1))
    return None


class RunResult(NamedTuple):
    """A recipe's trained networks, their scores, the log of their epochs, and curves of some of them."""

    networks: Networks
    measured: Measurement
    log: list[Record]
    curves: Curves


def train_and_measure(recipe: Recipe) -> Measurement:
    """The scores and predictions of a recipe's networks, trained in this process. Raises UserError."""
    return train_recipe(recipe).measured


def train_recipe(recipe: Recipe, watched: Sequence[str] = ()) -> RunResult:
    """A recipe trained in this process; test items are read after each epoch of the watched networks.

    Raises UserError.
    """
    torch.set_num_threads(1)
    sources = load_sources(recipe.data, recipe.seed, "cpu")
    run, log, curves = RecipeRun(recipe, sources), list[Record](), Curves()
    for progress in run:
        log += progress.records
        for name in (record["network"] for record in progress.records if record["network"] in watched):
            student = prepare_student(run.networks[name].copy(name), sources.train)
            classes, labels = predict_classes(student, sources.test)
            curves.setdefault(name, []).append((classes == labels).numpy())
    return RunResult(run.networks, measure_networks(recipe, run.networks, sources), log, curves)


def save_run(folder: Path, trained: RunResult, seconds: float) -> None:
    """What a run keeps; scores.json is written last."""
    for split, predictions in trained.measured.predictions.items():
        arrays = {name: classes.numpy() for name, classes in predictions.networks.items()}
        save_arrays(folder / f"{split}.npz", arrays | {"labels": predictions.labels.numpy()})
    networks = {name: trained.networks[name] for name in trained.measured.scores}
    if alphas := format_alphas({name: network.alphas for name, network in networks.items()}):
        (folder / "alphas.json").write_text(alphas, encoding="utf-8")
    if trained.curves:
        save_arrays(folder / "curves.npz", {name: np.stack(rows) for name, rows in trained.curves.items()})
    lines = "".join(json.dumps(record) + "\n" for record in trained.log)
    (folder / "log.jsonl").write_text(lines, encoding="utf-8")
    parameters = {name: sum(p.numel() for p in n.module.parameters()) for name, n in networks.items()}
    scores = {"networks": trained.measured.scores, "parameters": parameters, "seconds": seconds}
    (folder / "scores.json").write_text(json.dumps(scores, indent=1), encoding="utf-8")


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
    """The seeds of a recipe's finished runs, from its first seed on: earlier ones had other settings."""
    seeds = [int(path.parent.name.split("-s")[-1]) for path in root.glob(f"{recipe}-s*/scores.json")]
    return sorted(seed for seed in seeds if seed >= FIRST_SEEDS.get(recipe, 0))


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


def find_files(root: Path, recipe: str, name: str) -> list[Path]:
    """The files of this name in a recipe's finished runs, by seed; a word on runs without one."""
    folders = [Job(recipe, seed).folder(root) for seed in list_seeds(root, recipe)]
    for folder in (folder for folder in folders if not (folder / name).exists()):
        print(f"{folder.name} has no {name}, and is passed over: remove {folder} to run it again")
    return [folder / name for folder in folders if (folder / name).exists()]
