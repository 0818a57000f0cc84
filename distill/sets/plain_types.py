"""Whether a plain value, as files hold it, is of a kind such as dict[str, float | None]. No torch."""

import math
from types import UnionType
from typing import Any, Union, get_args, get_origin


def is_a(value: Any, kind: Any) -> bool:
    """A float is finite and may be a whole number; the keys of a dict are strings."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin in (UnionType, Union):
        return any(is_a(value, k) for k in inner)
    if origin is list:
        return isinstance(value, list) and all(is_a(v, inner[0]) for v in value)
    if origin is dict:
        return isinstance(value, dict) and all(is_a(k, str) and is_a(v, inner[1]) for k, v in value.items())
    if kind is float:
        return isinstance(value, int | float) and math.isfinite(value)
    return isinstance(value, kind)


def told(kind: Any) -> str:
    """A kind in the words of the language: 'str', 'list[str] | None'."""
    return str(kind) if get_origin(kind) else kind.__name__


def shown(value: Any) -> str:
    """A value in a sentence: itself where it is short and plain, else its type."""
    return f"{value!r:.40}" if value is None or isinstance(value, str | int | float) else type(value).__name__
