"""What benchmarks.standard measures: the sets of files, and the baselines of their size with hard labels."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

from distill.data.dataset import Dataset
from distill.data.images import load
from distill.errors import UserError
from distill.randomness import stream
from distill.registry import find
from distill.sets.distilled import DistilledSet
from distill.sets.real_data import fit_to_set
from distill.student import CORESETS

BASELINES = ("means", "random")  # words of CORESETS that need no teacher


@dataclass(frozen=True)
class Items:
    """A set to train on: data, or draw(seed) where each seed's student has new items."""

    name: str
    data: DistilledSet
    fingerprint: str  # changes with what students are trained on
    draw: Callable[[int], DistilledSet] | None = None
    is_baseline: bool = False

    def __len__(self) -> int:
        return len(self.data)


def list_items(paths: Sequence[Path], baselines: Sequence[str], data_dir: Path | None) -> list[Items]:
    """The sets of these files, then each baseline of their data and sizes once. Raises UserError."""
    sets = [(path, DistilledSet.load(path)) for path in paths]
    for path, data in sets:
        if data.text is not None:
            raise UserError(f"{path} is a set of texts: this benchmark measures images")
    items = [Items(path.stem, data, fingerprint_set(data)) for path, data in sets]
    built = [build_baseline(name, data, data_dir) for name in baselines for _, data in sets]
    return items + list({baseline.fingerprint: baseline for baseline in built}.values())


def build_baseline(name: str, like: DistilledSet, data_dir: Path | None) -> Items:
    """Random real items, or the centres of k-means of all items of a class, which for one is their mean.

    As many as the set has, normalised as its items are. Raises UserError.
    """
    coreset = find(CORESETS, "coreset", name)
    train = fit_to_set(load_splits(like.source["name"], data_dir)[0], like)
    arguments = {"most": len(train)} if name == "means" else {}
    draw_items = coreset(like, train, None, **arguments)

    def draw(seed: int) -> DistilledSet:
        items, labels = draw_items(stream("benchmark", name, seed))
        return with_items(like, items, labels)

    data = draw(0)
    title = f"{name}, {len(like)} of {data_word(like)}"
    return Items(title, data, fingerprint_set(data), draw if name == "random" else None, True)


def data_word(data: DistilledSet) -> str:
    """The name of a set's real data in results: of a file or folder the name alone, without its place."""
    return Path(data.source["name"]).name


def with_items(like: DistilledSet, items: torch.Tensor, labels: torch.Tensor) -> DistilledSet:
    """A set of other items with hard labels, for the cross-entropy; its one step is no recipe."""
    inner = {"rule": "sgd", "momentum": 0.0, "loss": "soft-cross-entropy", "augment": ""}
    network = {**like.network, "init": "random"}
    return replace(
        like, items=items.float(), labels=labels.float(), schedule=torch.arange(len(items))[None],
        lrs=torch.full((1,), 0.01), inner=inner, network=network, init_state=None, scores={}, provenance={},
        protocol=None,
    )  # fmt: skip


@cache
def load_splits(name: str, data_dir: Path | None) -> tuple[Dataset, Dataset]:
    """(train, test) by the name in a set: of an .npz file in data_dir or here, or a named set there."""
    if name.endswith(".npz"):
        return load(str((data_dir or Path()) / name))
    return load(name, None if name == "mnist" else data_dir)


def fingerprint_set(data: DistilledSet) -> str:
    """A digest of all that students are trained on: tensors and recipe, without scores and provenance."""
    digest = hashlib.sha256()
    for name, value in sorted(data.to_dict().items()):
        if name not in ("scores", "provenance"):
            add_value(digest, name, value)
    return digest.hexdigest()[:16]


def add_value(digest: Any, name: str, value: Any) -> None:
    """Put a value of a set's file into a digest, with its key."""
    digest.update(name.encode())
    if isinstance(value, torch.Tensor):
        digest.update(f"{value.dtype}{tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    elif isinstance(value, dict):
        for key in sorted(value):
            add_value(digest, str(key), value[key])
    elif isinstance(value, list | tuple):
        for i, part in enumerate(value):
            add_value(digest, str(i), part)
    else:
        digest.update(repr(value).encode())
