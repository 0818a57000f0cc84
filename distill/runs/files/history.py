"""history.pt: snapshots of the learned items at a few outer steps of a run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distill.errors import RunError, SetError
from distill.report.snapshots import Snapshot, count_kept
from distill.sets.storage import read_tensors, write_tensors

FORMAT, KEY = "distill-history/1", "looks"  # the key of this format; it holds the snapshots
FIRST, LARGEST = 8, 6e4  # outer step of the first snapshot after the start; largest number kept as float16


def is_due(step: int) -> bool:
    """Whether a snapshot is taken: at 0, and at 8, 16, 32 …, about a dozen in a run of whatever length."""
    return step == 0 or (step >= FIRST and step & (step - 1) == 0)


def add_snapshot(
    folder: Path, step: int, items: Tensor, labels: Tensor, text: Callable[[Tensor], dict[str, Any] | None]
) -> None:
    """Where a snapshot is due, add it to history.pt, and drop later ones, which a killed run left behind.

    text(items) gives the facts of sentences, with their nearest words. Raises SetError on a full disk,
    RunError where history.pt is damaged.
    """
    if not is_due(step):
        return
    items = items[: count_kept(items)].detach().cpu()
    facts = text(items) or {}
    snapshot = {
        "step": step,
        "items": items.clamp(-LARGEST, LARGEST).half(),
        "labels": labels[: len(items)].detach().cpu(),
        "nearest": facts.get("nearest"),
    }
    if "similarity" in facts:
        snapshot["similarity"] = facts["similarity"]
    before = [entry for entry in read_entries(folder) if entry["step"] < step]
    write_tensors(folder / "history.pt", {"format": FORMAT, KEY: [*before, snapshot]})


def read_history(folder: Path) -> list[Snapshot]:
    """The snapshots of a run in order of their steps; none where it has no history.pt. Raises RunError."""
    return [
        Snapshot(
            entry["step"],
            entry["items"],
            entry["labels"],
            entry.get("nearest"),
            similarity=entry.get("similarity"),
        )
        for entry in read_entries(folder)
    ]


def read_entries(folder: Path) -> list[dict[str, Any]]:
    """The entries of history.pt in order of their steps. Raises RunError."""
    path = folder / "history.pt"
    if not path.is_file():
        return []
    try:
        entries = read_tensors(path, "cpu", FORMAT).get(KEY)
    except SetError as error:
        raise RunError(f"{error}: remove it to go on without") from None
    if not isinstance(entries, list) or not all(map(is_valid, entries)):
        raise RunError(f"{path} is damaged: remove it to go on without")
    return sorted(entries, key=lambda entry: entry["step"])


def is_valid(entry: Any) -> bool:
    """Whether an entry has a step, and as many items as labels, all finite."""
    if not isinstance(entry, dict) or type(entry.get("step")) is not int:
        return False
    items, labels = entry.get("items"), entry.get("labels")
    if not (isinstance(items, Tensor) and isinstance(labels, Tensor)) or items.ndim < 2 or labels.ndim != 2:
        return False
    finite = all(t.is_floating_point() and bool(torch.isfinite(t).all()) for t in (items, labels))
    return finite and len(items) == len(labels) > 0
