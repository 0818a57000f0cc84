"""Step and DistilledSet: the immutable result of a distillation, and the .pt file that carries it.

The file holds only tensors, strings, numbers, lists and dicts, so that
torch.load(path, weights_only=True) reads it and nothing in it is ever executed.
"""

import os
from dataclasses import dataclass, field, fields
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from distill.errors import SetError
from distill.inner.step import Step
from distill.sets import metadata as facts
from distill.sets.storage import FORMAT, read, write


@dataclass(frozen=True)
class DistilledSet:
    """The final steps of a distillation, and all that a stranger needs to train on them.

    items (n, *item) in the normalised space that the network sees; labels (n, classes) as the
    inner loss uses them; schedule (T, b), the items of each step; lrs (T,) or (T, g). In the file
    `source` is called "dataset". The README of the project describes every key.
    """

    items: Tensor
    labels: Tensor
    schedule: Tensor
    lrs: Tensor
    inner: dict[str, Any]
    network: dict[str, Any]
    source: dict[str, Any]
    init_state: dict[str, Tensor] | list[dict[str, Tensor]] | None = None
    text: dict[str, Any] | None = None
    scores: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check(self)

    def __len__(self) -> int:
        return len(self.items)

    def steps(self) -> list[Step]:
        """The recipe: one Step per inner update, in order."""
        return [
            Step(self.items[row], self.labels[row], lr)
            for row, lr in zip(self.schedule, self.lrs, strict=True)
        ]

    def batch(self, indices: Any) -> tuple[Tensor, Tensor]:
        """x (b, *item) and soft labels y (b, classes), as a real data set answers."""
        return self.items[indices], self.labels[indices]

    def dataset(self) -> TensorDataset:
        """The n pairs (item, soft label) for a DataLoader and training the ordinary way."""
        return TensorDataset(self.items, self.labels)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the .pt: whole or not at all (a temporary file beside it, then a rename). Raises SetError."""
        write(path, self.content())

    def content(self) -> dict[str, Any]:
        """What the file holds, key by key."""
        return {"format": FORMAT, **{key(f.name): getattr(self, f.name) for f in fields(self)}}

    @staticmethod
    def load(path: str | os.PathLike[str], device: str = "cpu") -> "DistilledSet":
        """Read a .pt. Raises SetError, in one sentence, for whatever is not a whole distilled set."""
        return DistilledSet.of(read(path, device), path)

    @staticmethod
    def of(content: dict[str, Any], path: str | os.PathLike[str]) -> "DistilledSet":
        """The set of what the file at path held. Raises SetError, which names the file."""
        try:
            return DistilledSet(**{f.name: content[key(f.name)] for f in fields(DistilledSet)})
        except KeyError as missing:
            raise SetError(f'{path} lacks the key {missing}: it is not a whole "{FORMAT}" file') from None
        except SetError as fault:
            raise SetError(f"{path}: {fault}") from None


def key(name: str) -> str:
    """The key in the file for a field of DistilledSet."""
    return "dataset" if name == "source" else name


def check(data: DistilledSet) -> None:
    """Raise SetError where types or shapes disagree."""
    tensors = {name: getattr(data, name) for name in ("items", "labels", "schedule", "lrs")}
    for name, value in tensors.items():
        if not isinstance(value, Tensor):
            raise SetError(f"{name} is a {type(value).__name__}, not a tensor")
    for name in ("items", "labels", "lrs"):
        if not facts.plain(tensors[name]):
            raise SetError(f"{name} must be float32 and finite")
    for name in ("inner", "network", "source", "scores", "provenance"):
        if not isinstance(getattr(data, name), dict):
            raise SetError(f"{key(name)} is a {type(getattr(data, name)).__name__}, not a dict")
    if not (data.text is None or isinstance(data.text, dict)):
        raise SetError(f"text must be None or a dict, not a {type(data.text).__name__}")
    check_shapes(**tensors)
    parts = {key(name): getattr(data, name) for name in ("inner", "network", "source", "scores")}
    facts.check(parts, data.text, data.items.shape[1:], len(data.items), data.labels.shape[1])
    states = data.init_state if isinstance(data.init_state, list) else [data.init_state]
    weights = [isinstance(state, dict) and all(map(facts.plain, state.values())) for state in states]
    if data.init_state is not None and not (weights and all(weights)):
        raise SetError("init_state must be a dict of finite float32 tensors, a list of such dicts, or None")


def check_shapes(items: Tensor, labels: Tensor, schedule: Tensor, lrs: Tensor) -> None:
    if items.ndim < 2 or labels.ndim != 2 or items.numel() == 0:
        raise SetError(f"items {shape(items)} and labels {shape(labels)} must be (n, *item) and (n, classes)")
    if len(items) != len(labels):
        raise SetError(f"labels has {len(labels)} rows, items has {len(items)}: one label per item")
    if schedule.dtype != torch.long or schedule.ndim != 2 or schedule.numel() == 0:
        raise SetError(f"schedule must be a long tensor (T, b), not {schedule.dtype} {shape(schedule)}")
    if schedule.min() < 0 or schedule.max() >= len(items):
        raise SetError(f"schedule names items outside 0 … {len(items) - 1}")
    if lrs.ndim not in (1, 2) or len(lrs) != len(schedule):
        raise SetError(f"lrs is {shape(lrs)} for {len(schedule)} steps: one row per step")


def shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "a single number"
