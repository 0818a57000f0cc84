"""What tells the real data of a run from others, so that a resumed run goes on with the same.

It is cheap (MNIST takes a few milliseconds): all labels are looked at, and about 1,000 items of each split.
"""

from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distill.data.dataset import Dataset
from distill.data.embedding import TextDataset
from distill.errors import RunError
from distill.runs.files.folder import read_config

KEY = "fingerprint"  # in config.json; runs from before have none
SAMPLE, SAMPLE_VALUES, SUMS = 1000, 2**22, 16  # items and their values at most; sums of floating-point ones
TOLERANCE = 1e-3  # of the sums: whitened and resized items differ a little between machines
BARE = str.maketrans("", "", "[]'")  # lists of words in a sentence
Facts = dict[str, dict[str, Any]]


def describe_data(train: Dataset, test: Dataset) -> Facts:
    """The fingerprint of both splits, as JSON holds it."""
    return {"train": describe_split(train), "test": describe_split(test)}


def describe_split(split: Dataset) -> dict[str, Any]:
    """Shape and number of the items, the classes, digests of labels, items and word vectors."""
    facts = {
        "size": list(split.shape),
        "classes": list(split.classes),
        "number": len(split),
        "labels": digest(split.labels, len(split)),
        "items": digest(split.items),
    }
    return facts | ({"vectors": digest(split.vectors)} if isinstance(split, TextDataset) else {})


def digest(rows: Tensor, most: int = SAMPLE) -> str | list[float]:
    """What changes with any of `most` evenly spaced rows: a hash of whole numbers, 16 sums of others."""
    count = min(len(rows), most, max(SUMS, SAMPLE_VALUES // max(1, rows[:1].numel())))
    places = torch.linspace(0, len(rows) - 1, count, dtype=torch.float64).long()
    sample = rows[places.to(rows.device)].cpu().flatten(1 - rows.ndim)
    if not rows.is_floating_point():
        return sha256(sample.numpy().tobytes()).hexdigest()
    down, across = (torch.arange(1, n + 1, dtype=torch.float64).sin() for n in sample.shape)
    sums = [float(part.sum()) for part in (down * (sample.double() @ across)).tensor_split(SUMS)]
    return [float(f"{value:.6g}") for value in sums]


def check_data(folder: Path, facts: Facts) -> None:
    """Raise RunError where a run to be resumed was started with other data."""
    saved = read_config(folder).get(KEY)
    if saved is not None:
        compare_facts(folder, "config.json", saved, facts)


def compare_facts(folder: Path, name: str, saved: Any, facts: Facts) -> None:
    """Raise RunError where the facts that a file of a run holds are of other data than these."""
    if not has_form(saved, facts):
        raise RunError(f"{folder}/{name} is damaged ({KEY}): start the run anew with --overwrite")
    for split, now in facts.items():
        changed = next((key for key in now if not is_same(saved[split].get(key), now[key])), None)
        if changed is not None:
            raise RunError(
                f"{folder} was started with other data: {describe_change(split, changed, saved[split], now)};"
                " give the same data, or start a new run"
            )


def has_form(saved: Any, facts: Facts) -> bool:
    """Whether the saved value is a fingerprint."""
    return isinstance(saved, Mapping) and all(isinstance(saved.get(split), Mapping) for split in facts)


def is_same(saved: Any, now: Any) -> bool:
    """Whether two facts agree; sums do but for the last digits."""
    if not isinstance(now, list) or not all(isinstance(value, float) for value in now):
        return bool(saved == now)
    if not isinstance(saved, list) or [type(value) for value in saved] != [float] * len(now):
        return False
    most = TOLERANCE * max(map(abs, now), default=0)
    return all(abs(a - b) <= most for a, b in zip(saved, now, strict=True))


def describe_change(split: str, name: str, saved: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """'the labels of its train items have changed', or what they were and are."""
    if name in ("labels", "items", "vectors"):
        word = {"labels": "labels", "items": "values", "vectors": "word vectors"}[name]
        return f"the {word} of its {split} items have changed"
    old, new = (
        ", ".join(map(str, v)) if isinstance(v, list) else str(v) for v in (saved.get(name), now[name])
    )
    return f"the {name} of its {split} items was {old[:80]} and is {new[:80]}"
