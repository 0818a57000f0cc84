"""Checks of the words and numbers beside a set's tensors, whose types students and reports rely on."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

import torch
from torch import Tensor

from distill.errors import SetError
from distill.sets.plain_types import describe_type, describe_value, has_type

Metadata = dict[str, Any]
Values = dict[str, float | str]


def check_metadata(
    parts: Mapping[str, Metadata], text: Metadata | None, item: Sequence[int], n: int, classes: int
) -> None:
    """Raise SetError where a value has another type, or does not fit n items of shape `item`."""
    for part, values in {**parts, **({} if text is None else {"text": text})}.items():
        for name, expected in TYPES[part].items():
            if not has_type(values.get(name), expected):
                raise SetError(
                    f"{part}.{name} must be {describe_type(expected)}, not {describe_value(values.get(name))}"
                )
    source = parts["dataset"]
    if not 2 <= classes == len(source["classes"]):
        raise SetError(f"dataset.classes does not name the {classes} classes of the labels")
    check_images(parts["inner"], source, item)
    if text is not None:
        check_text(text, item, n)


def check_images(inner: Metadata, source: Metadata, item: Sequence[int]) -> None:
    """Raise SetError where size, augmentation, mean, std or whitening do not fit items of this shape."""
    if source.get("size") is not None and tuple(item[1:]) != (source["size"],) * 2:
        raise SetError(f"dataset.size is {source['size']}: it must be None, or the items' height and width")
    if inner.get("augment") and len(item) != 3:
        raise SetError(f"inner.augment is {inner['augment']!r}: it is for images")
    for name in ("mean", "std"):
        if len(item) == 3 and len(source.get(name) or [0]) not in (1, item[0]):
            raise SetError(f"dataset.{name} has {len(source[name])} numbers, images have {item[0]} channels")
    if source.get("zca") is not None:
        check_whitening(source["zca"], math.prod(item))


def check_whitening(zca: Any, d: int) -> None:
    """Raise SetError where zca does not hold a mean (d,) and a matrix (d, d)."""
    for name, shape in (("mean", (d,)), ("matrix", (d, d))):
        tensor = zca.get(name) if isinstance(zca, dict) else None
        if not is_finite_float32(tensor) or tuple(tensor.shape) != shape:
            raise SetError(f'dataset.zca must be None, or hold "{name}", finite, {"×".join(map(str, shape))}')


def check_text(text: Metadata, item: Sequence[int], n: int) -> None:
    """Raise SetError where a text set's lengths, files or words do not fit n items of this shape."""
    if len(item) != 2 or item[1] != text["dim"] or min(text["length"], text["max_length"]) < 1:
        raise SetError(f"text.dim, length and max_length do not fit items of shape {tuple(item)}")
    if len(text["files"]) not in (0, 4):
        raise SetError("text.files must be empty, or name train, test, text column and label column")
    neighbours = text.get("neighbours") or {}
    if {len(words) for words in (text["nearest"], *neighbours.values())} != {n}:
        raise SetError(f"text.nearest and text.neighbours must hold words for each of the {n} items")


def is_finite_float32(value: Any) -> TypeGuard[Tensor]:
    """Whether a value is a float32 tensor of finite numbers."""
    return isinstance(value, Tensor) and value.dtype == torch.float32 and bool(value.isfinite().all())


TYPES: dict[str, dict[str, Any]] = {  # of the values in each part of a set's file
    "inner": {
        "rule": str, "loss": str, "augment": str | None,
        **dict.fromkeys(("momentum", "weight_decay", "beta1", "beta2", "eps"), float | None),
    },
    "network": {"name": str, "arguments": Values | None, "init": str | None, "scheme": str | None},
    "dataset": {
        "name": str, "classes": list[str], "mean": list[float] | None, "std": list[float] | None,
        "size": int | None,
    },
    "text": {
        "tokenizer": str, "vectors": str, "checksum": str, "unknown": str, "dim": int, "length": int,
        "max_length": int, "files": list[str | None], "nearest": list[list[str]],
        "neighbours": dict[str, list[list[list[str]]]] | None,
    },
    "scores": {"accuracy": Values | None, "full_data": float | None, "baselines": dict[str, Values] | None},
}  # fmt: skip
