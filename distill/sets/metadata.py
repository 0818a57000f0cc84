"""The words and numbers beside a set's tensors: each of the kind that students and reports build on."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

import torch
from torch import Tensor

from distill.errors import SetError
from distill.sets.plain_types import is_a, shown, told

Facts = dict[str, Any]
Words = dict[str, float | str]


def check(parts: Mapping[str, Facts], text: Facts | None, item: Sequence[int], n: int, classes: int) -> None:
    """Raise SetError where a fact is not of its kind, or does not fit n items of this shape."""
    for part, facts in {**parts, **({} if text is None else {"text": text})}.items():
        for name, kind in KINDS[part].items():
            if not is_a(facts.get(name), kind):
                raise SetError(f"{part}.{name} must be {told(kind)}, not {shown(facts.get(name))}")
    source = parts["dataset"]
    if not 2 <= classes == len(source["classes"]):
        raise SetError(f"dataset.classes does not name the {classes} classes of the labels")
    check_images(parts["inner"], source, item)
    if text is not None:
        check_text(text, item, n)


def check_images(inner: Facts, source: Facts, item: Sequence[int]) -> None:
    """What images need: augmentation is for them, a mean and std per channel, whitening of all pixels."""
    if source.get("size") is not None and tuple(item[1:]) != (source["size"],) * 2:
        raise SetError(f"dataset.size is {source['size']}: it must be None, or the items' height and width")
    if inner.get("augment") and len(item) != 3:
        raise SetError(f"inner.augment is {inner['augment']!r}: it is for images")
    for name in ("mean", "std"):
        if len(item) == 3 and len(source.get(name) or [0]) not in (1, item[0]):
            raise SetError(f"dataset.{name} has {len(source[name])} numbers, images have {item[0]} channels")
    d, zca = math.prod(item), source.get("zca")
    for name, wanted in (("mean", (d,)), ("matrix", (d, d))) if zca is not None else ():
        found = zca.get(name) if isinstance(zca, dict) else None
        if not plain(found) or tuple(found.shape) != wanted:
            raise SetError(
                f'dataset.zca must be None, or hold "{name}", finite, {"×".join(map(str, wanted))}'
            )


def check_text(text: Facts, item: Sequence[int], n: int) -> None:
    """What texts need: the shape of their items, four files or none, words for each item."""
    if len(item) != 2 or item[1] != text["dim"] or min(text["length"], text["max_length"]) < 1:
        raise SetError(f"text.dim, length and max_length do not fit items of shape {tuple(item)}")
    if len(text["files"]) not in (0, 4):
        raise SetError("text.files must be empty, or name train, test, text column and label column")
    near = text.get("neighbours") or {}
    if {len(words) for words in (text["nearest"], *near.values())} != {n}:
        raise SetError(f"text.nearest and text.neighbours must hold words for each of the {n} items")


def plain(value: Any) -> TypeGuard[Tensor]:
    """Whether a value is a float32 tensor of finite numbers."""
    return isinstance(value, Tensor) and value.dtype == torch.float32 and bool(value.isfinite().all())


KINDS: dict[str, dict[str, Any]] = {
    "inner": {
        "rule": str, "loss": str, "augment": str | None,
        **dict.fromkeys(("momentum", "weight_decay", "beta1", "beta2", "eps"), float | None),
    },
    "network": {"name": str, "arguments": Words | None, "init": str | None, "scheme": str | None},
    "dataset": {
        "name": str, "classes": list[str], "mean": list[float] | None, "std": list[float] | None,
        "size": int | None,
    },
    "text": {
        "tokenizer": str, "vectors": str, "checksum": str, "unknown": str, "dim": int, "length": int,
        "max_length": int, "files": list[str | None], "nearest": list[list[str]],
        "neighbours": dict[str, list[list[list[str]]]] | None,
    },
    "scores": {"accuracy": Words | None, "full_data": float | None, "baselines": dict[str, Words] | None},
}  # fmt: skip
