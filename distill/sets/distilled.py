"""DistilledSet: the immutable result of a distillation, and the .pt file that carries it.

The file holds only tensors, strings, numbers, lists and dicts, so that
torch.load(path, weights_only=True) reads it and nothing in it is ever executed.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from distill.errors import SetError
from distill.inner.step import Step, add_attention
from distill.outer.parametrisations.codes import decode_codes
from distill.sets.labels.attention import check_attention
from distill.sets.labels.top import TopLabels
from distill.sets.labels.views import ViewLabels, check_views
from distill.sets.metadata import (
    check_metadata,
    check_plain,
    check_protocol,
    check_shapes,
    check_tensor_types,
    check_weights,
    describe_shape,
)
from distill.sets.storage import ENCODED, FORMAT, TOP, check_kind, move, read_tensors, write_tensors


@dataclass(frozen=True, repr=False, eq=False)
class DistilledSet:
    """The final steps of a distillation, and all that is needed to train on them.

    It is a sequence of n pairs (item, soft label), as a map-style data set of torch.

    items (n, *item) in the normalised space that the network sees; labels (n, classes) as the
    inner loss uses them; schedule (T, b), the items of each step; lrs (T,) or (T, g). In the file
    `source` is called "dataset". protocol: None, or the training that the set recommends for any network, a
    word of distill.student.PROTOCOLS as "name" and its settings. codes: None, or how the items are stored,
    {"parametrisation": …, "settings": …, "tensors": …}; the file then holds them in the place of items.
    view_labels (views, n, classes): None, or soft labels of changed views of the items, whole or by their
    largest values; `views` says how to make the views. attention (n, length): None, or
    attention labels, shares of the positions. The documentation describes every key.
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
    protocol: dict[str, Any] | None = None
    codes: dict[str, Any] | None = None
    view_labels: ViewLabels | None = None
    views: dict[str, Any] | None = None
    attention: Tensor | None = None

    def __post_init__(self) -> None:
        check_set(self)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: Any) -> tuple[Tensor, Tensor]:
        """(item, soft label) of a number; (items, soft labels) of a slice or a list of numbers."""
        return self.items[index], self.labels[index]

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        return zip(self.items, self.labels, strict=True)

    def __repr__(self) -> str:
        items = f"{self.count('items')} {describe_shape(self.items[0])} of {self.labels.shape[1]} classes"
        return f"DistilledSet({', '.join([items, str(self.source['name']), *describe_score(self.scores)])})"

    @property
    def item_tensors(self) -> dict[str, Tensor]:
        """The tensors that hold the items in the file: the items, or their codes."""
        return {"items": self.items} if self.codes is None else self.codes["tensors"]

    @property
    def item_bytes(self) -> int:
        """The bytes of the items as the file holds them, without labels."""
        return sum(tensor.nbytes for tensor in self.item_tensors.values())

    @property
    def equal_count(self) -> int:
        """How many items as they are take as many bytes: rounded up, at most as many as the set has."""
        return min(len(self), -(-self.item_bytes // self.items[0].nbytes))

    def count(self, word: str) -> str:
        """'10 images'; of codes, '10 stored images of 31,360 bytes, decoded to 40'."""
        if self.codes is None:
            return f"{len(self):,} {word}"
        stored = len(self.item_tensors["items"])
        return f"{stored:,} stored {word} of {self.item_bytes:,} bytes, decoded to {len(self):,}"

    def compare_bytes(self, word: str) -> str:
        """' Baselines are 10 real images …', the sentence after a verdict on a set of codes; "" else."""
        if self.codes is None:
            return ""
        real, each = self.equal_count, self.items[0].nbytes
        return f" It is {self.count(word)}; baselines are {real:,} real {word} of {real * each:,} bytes."

    def to(self, device: str | torch.device) -> "DistilledSet":
        """The same set with its tensors on a device. Raises SetError where there is no such device."""
        try:
            torch.ones(1, device=device).item()
        except (RuntimeError, AssertionError, TypeError):  # torch has as many ways as devices to say no
            raise SetError(f'no device "{device!s:.80}" on this machine: use "cpu"') from None
        return replace(self, **{f.name: move(getattr(self, f.name), device) for f in fields(self)})

    def steps(self) -> list[Any]:
        """The recipe: one Step per inner update, in order; of attention labels too, an AttentionStep."""
        steps = [
            Step(self.items[row], self.labels[row], lr)
            for row, lr in zip(self.schedule, self.lrs, strict=True)
        ]
        if self.attention is None:
            return steps
        return add_attention(steps, [self.attention[row] for row in self.schedule])

    def batch(self, indices: Any) -> tuple[Tensor, Tensor]:
        """x (b, *item) and soft labels y (b, classes), as a real data set returns them."""
        return self.items[indices], self.labels[indices]

    def dataset(self) -> TensorDataset:
        """The n pairs (item, soft label), for a DataLoader and ordinary training."""
        return TensorDataset(self.items, self.labels)

    def loader(
        self, batch_size: int | None = 10, shuffle: bool = True, **options: Any
    ) -> DataLoader[tuple[Tensor, ...]]:
        """A DataLoader of (items, soft labels) for ordinary training, as Lightning takes it.

        options are those of torch's DataLoader.
        """
        return DataLoader(self.dataset(), batch_size, shuffle, **options)

    def push_to_hub(self, repo: str, license: str | None = None, **options: Any) -> str:
        """Upload the folder that `distill export --to hf` writes to the Hugging Face hub; the page's address.

        repo is "name" or "owner/name"; options are those of huggingface_hub.create_repo, as private=True.
        Raises SetError where the hub refuses, UserError without the package safetensors.
        """
        from distill.sets.formats.huggingface import upload_set

        return upload_set(self, repo, license, **options)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the .pt file, whole or not at all. Raises SetError where it cannot be written."""
        write_tensors(path, self.to_dict())

    @staticmethod
    def load(path: str | os.PathLike[str], device: str = "cpu") -> "DistilledSet":
        """The set of a .pt file. Raises SetError, in one sentence, for anything but a whole distilled set."""
        return DistilledSet.from_dict(read_tensors(path, device), path)

    def to_dict(self) -> dict[str, Any]:
        """What the file holds, key by key."""
        content = {file_key(f.name): getattr(self, f.name) for f in fields(self)}
        left_out = [name for name in OPTIONAL if content[name] is None]
        left_out += [] if self.codes is None else ["items"]
        form = FORMAT if self.codes is None else ENCODED
        if isinstance(self.view_labels, TopLabels):
            form, content["view_labels"] = TOP, self.view_labels.to_dict()
        return {"format": form, **{k: v for k, v in content.items() if k not in left_out}}

    @staticmethod
    def from_dict(content: dict[str, Any], path: str | os.PathLike[str]) -> "DistilledSet":
        """The set of what the file at path holds. Raises SetError, which names the file."""
        content = {**dict.fromkeys(OPTIONAL), **content}
        try:
            check_kind(content)
            if content["codes"] is not None:
                content["items"] = decode_codes(content["codes"])
            if isinstance(content["view_labels"], dict):
                content["view_labels"] = TopLabels.from_dict(content["view_labels"])
            return DistilledSet(**{f.name: content[file_key(f.name)] for f in fields(DistilledSet)})
        except KeyError as missing:
            raise SetError(
                f'{path} lacks the key {missing}: it is not a whole "{content.get("format")!s:.40}" file'
            ) from None
        except SetError as error:
            raise SetError(f"{path}: {error}") from None


def file_key(field_name: str) -> str:
    """The key in the file for a field of DistilledSet."""
    return "dataset" if field_name == "source" else field_name


OPTIONAL = ("protocol", "codes", "view_labels", "views", "attention")  # keys that a file may lack
DICTS = ("inner", "network", "source", "scores", "provenance")


def check_set(data: DistilledSet) -> None:
    """Raise SetError where types, shapes or metadata disagree: a set that exists can be saved and loaded."""
    for name, value in data.to_dict().items():
        check_plain(value, name)
    tensors = {name: getattr(data, name) for name in ("items", "labels", "schedule", "lrs")}
    check_tensor_types(tensors)
    for name in DICTS:
        if not isinstance(getattr(data, name), dict):
            raise SetError(f"{file_key(name)} is a {type(getattr(data, name)).__name__}, not a dict")
    if not (data.text is None or isinstance(data.text, dict)):
        raise SetError(f"text must be None or a dict, not a {type(data.text).__name__}")
    check_protocol(data.protocol)
    check_shapes(**tensors)
    check_attention(data.attention, data.items, data.inner)
    check_views(data.view_labels, data.views, data.labels)
    check_codes(data.codes, data.items)
    parts = {file_key(name): getattr(data, name) for name in DICTS}
    check_metadata(parts, data.text, data.items.shape[1:], len(data.items), data.labels.shape[1])
    check_weights(data.init_state)


def check_codes(codes: Any, items: Tensor) -> None:
    """Raise SetError where codes do not decode to the items: a file holds them in their place."""
    if codes is None:
        return
    decoded = decode_codes(codes)
    near = decoded.shape == items.shape and (decoded - items).abs().max() <= 1e-3 * items.abs().max() + 1e-6
    if not near:
        raise SetError("codes decode to other items: replace both, or give codes=None with other items")


def describe_score(scores: dict[str, Any]) -> list[str]:
    """["97.35 ± 0.31 %", "91.50 ± 0.40 % by dc"], the accuracies that a set carries; [] where none."""
    by = {"": scores.get("accuracy") or {}}
    by |= {f" by {word}": score for word, score in (scores.get("protocols") or {}).items()}
    return [format_score(score) + words for words, score in by.items() if format_score(score)]


def format_score(score: dict[str, Any]) -> str:
    """'97.35 ± 0.31 %'; "" where there is no mean."""
    mean, std = (score.get(name) for name in ("mean", "std"))
    if not isinstance(mean, int | float):
        return ""
    return f"{100 * mean:.2f} ± {100 * std:.2f} %" if isinstance(std, int | float) else f"{100 * mean:.2f} %"
