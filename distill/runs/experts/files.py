"""expert-000.pt, expert-001.pt …: a file for each expert, with its trajectory and what it was trained on."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, float32

from distill.data.dataset import Dataset
from distill.errors import UserError, quote
from distill.inner.problem import Problem
from distill.methods.trajectories.experts import Trajectory, compute_checksum
from distill.methods.trajectories.matching import CHECKSUMS, MTT
from distill.runs.files.fingerprint import describe_split, is_same
from distill.sets.storage import read_tensors, write_tensors

EXPERT = "distill-expert/1"
FACTS = {"network": Mapping, "data": Mapping, "training": Mapping, "number": int}  # beside the weights


class Expert(NamedTuple):
    """An expert's trajectory, and the seconds that its training took."""

    trajectory: Trajectory
    seconds: float


def expert_path(folder: Path, number: int) -> Path:
    """The file of an expert."""
    return folder / f"expert-{number:03}.pt"


def describe_expert(
    problem: Problem, network: Mapping[str, Any], data: Dataset, method: MTT, number: int
) -> dict[str, Any]:
    """What a file says of its expert, in plain values; network: its name and arguments."""
    shapes = {name: list(p.shape) for name, p in problem.network.named_parameters()}
    described = {"name": network["name"], "arguments": dict(network["arguments"]), "shapes": shapes}
    return {
        "network": described, "data": describe_split(data), "training": asdict(method.training),
        "number": number,
    }  # fmt: skip


def write_expert(folder: Path, weights: Tensor, facts: dict[str, Any], seconds: float) -> Expert:
    """The expert, after its file is written, whole or not at all. Raises SetError on a full disk."""
    checksum = compute_checksum(weights, facts)
    content = {"format": EXPERT, "weights": weights, "checksum": checksum, "seconds": seconds, **facts}
    write_tensors(expert_path(folder, facts["number"]), content)
    return Expert(Trajectory(weights, checksum), seconds)


def read_expert(path: Path, facts: dict[str, Any], last_epoch: int) -> Expert:
    """The expert of a file, if a run of these facts can match it. Raises UserError, else.

    It must be of the same network and data, of at least `last_epoch` epochs, and as it was written.
    """
    content = read_tensors(path, "cpu", EXPERT)
    weights: Any = content.get("weights")
    saved: dict[str, Any] = {name: content.get(name) for name in FACTS}
    checksum, seconds = content.get("checksum"), content.get("seconds")
    check_whole(path, weights, saved, checksum)
    check_network(path, saved["network"], facts["network"])
    check_data(path, saved["data"], facts["data"])
    if weights.shape[1] != sum(map(math.prod, facts["network"]["shapes"].values())):
        raise UserError(f"{path} is damaged (its weights): remove it, or give --experts another folder")
    if len(weights) - 1 < last_epoch:
        raise UserError(
            f"{path} is of {len(weights) - 1} epochs, and the last start epoch with --match-epochs is"
            f" {last_epoch}: lower --max-start-epoch or --match-epochs, or train experts for longer"
        )
    return Expert(Trajectory(weights, str(checksum)), float(seconds) if isinstance(seconds, float) else 0.0)


def check_whole(path: Path, weights: Any, saved: dict[str, Any], checksum: Any) -> None:
    """Raise UserError where a file is not as it was written."""
    is_matrix = isinstance(weights, Tensor) and weights.ndim == 2 and weights.dtype == float32
    has_facts = all(isinstance(saved[name], kind) for name, kind in FACTS.items())
    if not (is_matrix and has_facts and len(weights) and bool(weights.isfinite().all())):
        raise UserError(f"{path} is damaged: remove it, or give --experts another folder")
    try:
        expected = compute_checksum(weights, saved)
    except (TypeError, ValueError, RecursionError):
        expected = ""
    if checksum != expected:
        raise UserError(
            f"{path} has another checksum than its weights: it was changed or damaged since it was written;"
            " remove it, or give --experts another folder"
        )


def check_network(path: Path, saved: Mapping[str, Any], network: Mapping[str, Any]) -> None:
    """Raise UserError where an expert is of another network."""
    if dict(saved) != dict(network):
        names = [describe_network(n) for n in (saved, network)]
        words = f"is of the network {names[0]}, and this run's is {names[1]}"
        words = words if names[0] != names[1] else f"is of another network called {names[0]}"
        raise UserError(f"{path} {words}: give --experts a folder of this network's")


def describe_network(network: Mapping[str, Any]) -> str:
    """'convnet (width 32)'."""
    arguments = network.get("arguments")
    pairs = arguments.items() if isinstance(arguments, Mapping) else ()
    words = ", ".join(f"{name} {value}" for name, value in sorted(pairs))
    return quote(network.get("name")).strip("'") + (f" ({words[:80]})" if words else "")


def check_data(path: Path, saved: Mapping[str, Any], data: Mapping[str, Any]) -> None:
    """Raise UserError where an expert was trained on other data."""
    changed = next((name for name in data if not is_same(saved.get(name), data[name])), None)
    if changed is not None:
        raise UserError(
            f"{path} was trained on other real data (their {changed} differ): use the same data,"
            " --image-size, --held-out and --seed, or let this run train its own experts"
        )


def check_same_experts(folder: Path, saved: Mapping[str, Tensor], current: Mapping[str, Tensor]) -> None:
    """Raise UserError where a checkpoint in a folder was written with other experts; of two memories."""
    if CHECKSUMS in current and not bool((saved[CHECKSUMS].cpu() == current[CHECKSUMS].cpu()).all()):
        raise UserError(
            f"{folder / 'checkpoint.pt'} was written with other experts (their checksums differ): put those"
            " back, or start the run anew with --overwrite"
        )
