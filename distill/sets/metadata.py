"""Checks of a set's tensors, and of the words and numbers beside them, on whose types others rely."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

import torch
from torch import Tensor

from distill.errors import SetError
from distill.sets.plain_types import (
    ABSENT,
    PROTOCOL_SCORE,
    SCORE,
    TYPES,
    describe_type,
    describe_value,
    has_type,
)
from distill.sets.safe_load import find_fault

Metadata = dict[str, Any]


def check_metadata(
    parts: Mapping[str, Metadata], text: Metadata | None, item: Sequence[int], n: int, classes: int
) -> None:
    """Raise SetError where a value has another type, or does not fit n items of shape `item`."""
    for part, values in parts.items():
        check_types(values, TYPES[part], part)
    for place, score in list_scores(parts["scores"]):
        check_types(score, SCORE, place)
    check_protocol_scores(parts["scores"].get("protocols") or {})
    if reserved := sorted({"name", "shape", "classes"} & set(parts["network"].get("arguments", {}))):
        raise SetError(f"network.arguments must not hold {reserved[0]!r}, which a network gets from its set")
    source = parts["dataset"]
    if not 2 <= classes == len(source["classes"]):
        raise SetError(f"dataset.classes does not name the {classes} classes of the labels")
    check_images(parts["inner"], source, item)
    if text is not None:
        check_types(text, TYPES["encoder" if "encoder" in text else "text"], "text")
        (check_encoder if "encoder" in text else check_text)(text, item, n)


def check_plain(value: Any, place: str, depth: int = 1) -> None:
    """Raise SetError where a file cannot hold a value, or the reader of the file would refuse it.

    So a run knows at its start that what it writes at its end can be read. place: of the value in the file.
    """
    if fault := find_fault(value, depth):
        raise SetError(f"{place} is {fault}: no file of a set can hold it")
    if type(value).__module__ not in ("builtins", "collections", "torch", "torch.nn.parameter"):
        raise SetError(f"{place} is a {type(value).__name__:.40}, which is no plain value of Python's own")
    for key, inner in value.items() if isinstance(value, dict) else ():
        check_plain(key, f"a key of {place}", depth + 1)
        check_plain(inner, f"{place}.{describe_key(key)}"[:80], depth + 1)
    for k, inner in enumerate(value) if isinstance(value, list | tuple) else ():
        check_plain(inner, f"{place}.{k}", depth + 1)


def check_types(values: Metadata, types: Mapping[str, Any], place: str) -> None:
    """Raise SetError where a value of a dict is missing, or has another type."""
    for name, expected in types.items():
        value = values.get(name, ABSENT)
        if not has_type(value, expected):
            raise SetError(f"{place}.{name} must be {describe_type(expected)}, not {describe_value(value)}")


def list_scores(scores: Metadata) -> list[tuple[str, Metadata]]:
    """Each score of a set with its place in the file: the set's own, and its baselines'."""
    accuracy, baselines = scores.get("accuracy"), scores.get("baselines") or {}
    own = [] if accuracy is None else [("scores.accuracy", accuracy)]
    return own + [(f"scores.baselines.{describe_key(name)}", score) for name, score in baselines.items()]


def check_protocol_scores(protocols: Metadata) -> None:
    """Raise SetError where a score by a protocol lacks a part, or its strongest baseline is not there."""
    for name, score in protocols.items():
        place = f"scores.protocols.{describe_key(name)}"
        check_types(score, {**SCORE, **PROTOCOL_SCORE}, place)
        baselines = score.get("baselines") or {}
        for baseline, values in baselines.items():
            check_types(values, SCORE, f"{place}.baselines.{describe_key(baseline)}")
        if (strongest := score.get("strongest")) is not None and strongest not in baselines:
            raise SetError(
                f"{place}.strongest is {describe_value(strongest)}, which is none of its baselines"
            )


def describe_key(key: Any) -> str:
    """A key in a sentence: itself where it is a printable word, else as Python writes it."""
    return f"{key:.40}" if isinstance(key, str) and key.isprintable() else f"{key!r:.40}"


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


def check_protocol(protocol: Any) -> None:
    """Raise SetError unless a recommended protocol is None, or a name and settings that are plain values."""
    if protocol is None:
        return
    if not has_type(protocol, dict[str, float | bool | str | None]):
        raise SetError("protocol must be None or a dict of a name and settings, numbers and words")
    check_types(protocol, {"name": str}, "protocol")


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
    check_files(text["files"])
    neighbours = text.get("neighbours") or {}
    if {len(words) for words in (text["nearest"], *neighbours.values())} != {n}:
        raise SetError(f"text.nearest and text.neighbours must hold words for each of the {n} items")


def check_encoder(text: Metadata, item: Sequence[int], n: int) -> None:
    """Raise SetError where an encoder's embeddings, files or sentences do not fit n items of this shape."""
    if tuple(item) != (text["dim"],) or text["max_length"] < 1:
        raise SetError(f"text.dim and max_length do not fit items of shape {tuple(item)}")
    check_files(text["files"])
    for rows, numbers in (("nearest", "similarity"), ("mixture", "weights")):
        counts = [list(map(len, text[name])) for name in (rows, numbers)]
        if counts[0] != counts[1] or len(counts[0]) != n or len(text["explained"]) != n:
            raise SetError(f"text.{rows} and text.{numbers} must hold sentences for each of the {n} items")
    if len(text.get("sentences") or [""] * n) != n:
        raise SetError(f"text.sentences must hold one sentence for each of the {n} items")


def check_files(files: list[Any]) -> None:
    """Raise SetError where the user's own files are not named as four, or not at all."""
    if len(files) not in (0, 4):
        raise SetError("text.files must be empty, or name train, test, text column and label column")


def is_finite_float32(value: Any) -> TypeGuard[Tensor]:
    """Whether a value is a float32 tensor of finite numbers."""
    return isinstance(value, Tensor) and value.dtype == torch.float32 and bool(value.isfinite().all())


def check_tensor_types(tensors: dict[str, Any]) -> None:
    """Raise SetError for what is no tensor, or not of finite float32 numbers (the schedule is long)."""
    for name, value in tensors.items():
        if not isinstance(value, Tensor):
            raise SetError(f"{name} is a {type(value).__name__}, not a tensor")
    for name in ("items", "labels", "lrs"):
        if not is_finite_float32(tensors[name]):
            raise SetError(f"{name} must be float32 and finite")


def check_shapes(items: Tensor, labels: Tensor, schedule: Tensor, lrs: Tensor) -> None:
    """Raise SetError where the shapes of the four tensors disagree."""
    if items.ndim < 2 or labels.ndim != 2 or items.numel() == 0:
        raise SetError(
            f"items {describe_shape(items)} and labels {describe_shape(labels)} must be (n, *item) and"
            " (n, classes)"
        )
    if len(items) != len(labels):
        raise SetError(f"labels has {len(labels)} rows, items has {len(items)}: one label per item")
    if schedule.dtype != torch.long or schedule.ndim != 2 or schedule.numel() == 0:
        raise SetError(
            f"schedule must be a long tensor (T, b), not {schedule.dtype} {describe_shape(schedule)}"
        )
    if schedule.min() < 0 or schedule.max() >= len(items):
        raise SetError(f"schedule names items outside 0 … {len(items) - 1}")
    if lrs.ndim not in (1, 2) or len(lrs) != len(schedule) or lrs.numel() == 0:
        raise SetError(f"lrs is {describe_shape(lrs)} for {len(schedule)} steps: one row per step")
    if lrs.min() < 0:
        raise SetError(f"lrs holds the learning rate {float(lrs.min()):g}: a rate is at least 0")


def check_weights(init_state: Any) -> None:
    """Raise SetError for initial weights that are not None, a dict of tensors or a list of such dicts."""
    states = init_state if isinstance(init_state, list) else [init_state]
    valid = [isinstance(state, dict) and all(map(is_weight_or_buffer, state.values())) for state in states]
    if init_state is not None and not (valid and all(valid)):
        raise SetError("init_state must be a dict of finite float32 tensors, a list of such dicts, or None")


def is_weight_or_buffer(value: Any) -> bool:
    """Whether a value is a tensor of finite float32 numbers, or of whole ones as some buffers are."""
    whole = isinstance(value, Tensor) and not (value.is_floating_point() or value.is_complex())
    return whole or is_finite_float32(value)


def describe_shape(tensor: Tensor) -> str:
    """A shape in a sentence: '3×8×8'."""
    return "×".join(map(str, tensor.shape)) or "a single number"
