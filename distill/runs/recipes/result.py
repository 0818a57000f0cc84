"""What a recipe's run leaves: the networks, what they answer to each test item, the page, and the scores."""

import io
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from distill.kd.measure import Predictions, Scores, measure_networks
from distill.kd.sources import Sources
from distill.kd.state.run import RecipeRun
from distill.kd.techniques.alphas import format_alphas
from distill.report.recipes.page import write_run_page
from distill.runs.files import machine
from distill.runs.recipes.folder import ALPHAS, CHECKPOINT, PAGE, PREDICTIONS, SCORES
from distill.runs.recipes.reported import load_reported_run
from distill.sets.storage import write_file, write_text

SCORE_LABELS = {
    "accuracy": "",
    "target": " on the target",
    "clusters": " in the subclass of their old class",
    "regularising": " of the training items are regularisation samples",
}


def write_result(folder: Path, run: RecipeRun, device: str, start: float) -> dict[str, Any]:
    """Measure the networks and write what a run leaves, scores.json last; the result as it holds it.

    start: when the run began, by time.perf_counter(), sessions before a resumption put before this one.
    """
    scores, predictions = measure_networks(run.recipe, run.networks, run.sources)
    for name in run.recipe.networks:
        run.networks[name].save(str(folder / f"{name}.pt"))
    if alphas := format_alphas({name: run.networks[name].alphas for name in run.recipe.networks}):
        write_text(folder / ALPHAS, alphas)
    write_file(folder / PREDICTIONS, pack_predictions(predictions))
    result = {
        "networks": scores,
        "seconds": round(time.perf_counter() - start, 1),
        "items": count_items(run.sources),
        "machine": describe_machine(device),
    }
    reported = load_reported_run(str(folder), folder.resolve().name, result)
    write_run_page(folder / PAGE, [reported])
    write_text(folder / SCORES, json.dumps(result, indent=2) + "\n")
    (folder / CHECKPOINT).unlink(missing_ok=True)
    return result


def pack_predictions(predictions: Mapping[str, Predictions]) -> bytes:
    """predictions.npz: labels (n,), predictions (networks, n), and the names of networks and classes.

    Of the target, if there is one: target_labels and target_predictions. Class numbers have one byte each,
    or two where there are more than 256 classes.
    """
    test, memory = predictions["test"], io.BytesIO()
    number = np.uint8 if len(test.classes) <= 256 else np.int16 if len(test.classes) <= 2**15 else np.int32
    arrays: dict[str, Any] = {"networks": np.array(list(test.networks)), "classes": np.array(test.classes)}
    for split, prefix in (("test", ""), ("target", "target_")):
        if split in predictions:
            rows = torch.stack(list(predictions[split].networks.values()))
            arrays[f"{prefix}labels"] = predictions[split].labels.cpu().numpy().astype(number)
            arrays[f"{prefix}predictions"] = rows.cpu().numpy().astype(number)
    np.savez_compressed(memory, **arrays)
    return memory.getvalue()


def count_items(sources: Sources) -> dict[str, int]:
    """How many items of each split the run had."""
    splits = {"train": sources.train, "validation": sources.validation, "test": sources.test}
    splits |= {"target": sources.target, "target test": sources.target_test}
    return {name: len(split) for name, split in splits.items() if split is not None}


def describe_machine(device: str) -> dict[str, Any]:
    """What the time and the last digits of a run depend on."""
    peak = machine.peak_memory(device)
    return {"device": device, "threads": torch.get_num_threads(), "peak_mib": peak, **machine.versions()}


def format_scores(networks: Scores) -> str:
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
