"""Whether a plain value, as files hold it, has a type such as dict[str, float | None]. Imports no torch.

Annotated[float, Between(0, 1)] is a number in a range, Annotated[str, OneOf(...)] a word of a few; Absent is
the type of ABSENT, which stands for a key that a file need not have. TYPES, at
the end, are those of the values in a set's file.
"""

import math
import operator
from collections.abc import Mapping
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from distill.errors import UserError
from distill.registry import COUNT, check_range


class Absent:
    """The type of a value that is not there."""


ABSENT = Absent()


@dataclass(frozen=True)
class Between:
    """A number of at least `low` and at most `high`; above low, below high where open says so."""

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    below: bool = False

    def allows(self, value: Any) -> bool:
        high_enough = value > self.low if self.above else value >= self.low
        return high_enough and (value < self.high if self.below else value <= self.high)

    def __str__(self) -> str:
        low = f"{'above' if self.above else 'at least'} {self.low:g}"
        return low + ("" if self.high == math.inf else f" {'and below' if self.below else '…'} {self.high:g}")


@dataclass(frozen=True)
class OneOf:
    """One of a few values."""

    values: tuple[Any, ...]

    def allows(self, value: Any) -> bool:
        return value in self.values

    def __str__(self) -> str:
        return f"of {', '.join(map(str, self.values))}"


def has_type(value: Any, expected: Any) -> bool:
    """Whether a value has a type. A float is finite and may be an int; True is no number; the keys of a dict
    are strings.
    """
    origin, arguments = get_origin(expected), get_args(expected)
    if expected is Any:
        return True
    if origin in (UnionType, Union):
        return any(has_type(value, member) for member in arguments)
    if origin is Annotated:
        return has_type(value, arguments[0]) and all(limit.allows(value) for limit in arguments[1:])
    if origin is list:
        return isinstance(value, list) and all(has_type(v, arguments[0]) for v in value)
    if origin is dict:
        return isinstance(value, dict) and all(
            has_type(k, str) and has_type(v, arguments[1]) for k, v in value.items()
        )
    if expected in (int, float) and isinstance(value, bool):
        return False
    if expected is float:
        return isinstance(value, int | float) and math.isfinite(value)
    return isinstance(value, expected)


def describe_type(expected: Any) -> str:
    """A type as Python writes it: 'str', 'list[str] | None'; with its limits: 'float (at least 0)'."""
    origin, arguments = get_origin(expected), get_args(expected)
    if origin in (UnionType, Union):
        return " | ".join(describe_type(member) for member in arguments if member is not Absent)
    if origin is Annotated:
        return f"{describe_type(arguments[0])} ({', '.join(map(str, arguments[1:]))})"
    if origin in (list, dict):
        return f"{origin.__name__}[{', '.join(map(describe_type, arguments))}]"
    return "None" if expected is type(None) else str(expected.__name__)


def describe_value(value: Any) -> str:
    """A value in a sentence: itself where it is a short string or number, else its type."""
    if value is ABSENT:
        return "absent"
    return f"{value!r:.40}" if value is None or isinstance(value, str | int | float) else type(value).__name__


def plain_value(value: Any) -> Any:
    """A number of numpy or torch as Python's own; any other value as it is."""
    if hasattr(value, "item") and hasattr(value, "dtype") and getattr(value, "ndim", None) == 0:
        return value.item()
    return value


def check_count(name: str, value: Any, bounds: Mapping[str, Any] = COUNT) -> int:
    """A whole number within an option's bounds, of Python, numpy or torch.

    Raises UserError that names the argument.
    """
    value = plain_value(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise UserError(f"{name} must be a whole number, not {describe_value(value)}")
    check_range(name, {"at_least": None, "below": None, **bounds}, value)
    return value


def check_seed(seed: Any) -> int:
    """The seed. Raises UserError for what is not a whole number."""
    try:
        return operator.index(seed)
    except TypeError:
        raise UserError(f"seed must be a whole number, not {str(seed)[:80]!r}") from None


Count, Share = Annotated[int, Between(0)], Annotated[float, Between(0, 1)]
NotNegative, Positive = Annotated[float, Between(0)], Annotated[float, Between(0, above=True)]
Decay = Annotated[float, Between(0, 1, below=True)]
Dict = dict[str, float | bool | str | None]
TYPES: dict[str, dict[str, Any]] = {  # of the values in each part of a set's file
    "inner": {
        "rule": str, "loss": str, "augment": str | Absent, "momentum": Share | Absent,
        "weight_decay": NotNegative | Absent, "beta1": Decay | Absent, "beta2": Decay | Absent,
        "eps": NotNegative | Absent, "softmax_scale": Positive | Absent,
        "attention_weight": Positive | Absent,
    },
    "network": {
        "name": str, "arguments": dict[str, float | bool | str] | Absent,
        "init": Annotated[str, OneOf(("fixed", "random"))] | Absent, "scheme": str | Absent,
    },
    "dataset": {
        "name": str, "classes": list[str], "mean": list[float] | None | Absent,
        "std": list[Positive] | None | Absent, "size": Annotated[int, Between(1)] | None | Absent,
        "train": Count | None | Absent, "test": Count | None | Absent,
        "majority": Share | None | Absent,
    },
    "text": {
        "tokenizer": str, "vectors": str, "checksum": str, "unknown": str, "dim": int, "length": int,
        "max_length": int, "files": list[str | None], "nearest": list[list[str]],
        "neighbours": dict[str, list[list[list[str]]]] | None | Absent,
        "unknown_spread": Positive | None | Absent,
    },
    "encoder": {  # the text of a set of embeddings
        "encoder": str, "checksum": str, "pooling": str, "normalised": bool, "numbers": str, "dim": int,
        "max_length": int, "files": list[str | None], "nearest": list[list[str]],
        "similarity": list[list[float]], "mixture": list[list[str]], "weights": list[list[float]],
        "explained": list[float], "sentences": list[str] | Absent,
    },
    "scores": {
        "accuracy": Dict | None | Absent, "full_data": Share | None | Absent,
        "baselines": dict[str, Dict] | None | Absent, "protocols": dict[str, dict[str, Any]] | None | Absent,
    },
    "provenance": {
        "command": str | Absent, "seconds": NotNegative | None | Absent, "outer_steps": Count | None | Absent,
        "remarks": list[str] | Absent,
    },
}  # fmt: skip
SCORE = {"mean": Share, "std": NotNegative, "n": Annotated[int, Between(1)]}  # of an accuracy
PROTOCOL_SCORE: dict[str, Any] = {  # what else a score by a protocol may hold
    "network": str | Absent, "split": str | Absent, "weights": str | Absent, "targets": str | Absent,
    "baselines": dict[str, Dict] | None | Absent, "strongest": str | None | Absent,
}  # fmt: skip
