"""Whether a plain value, as files hold it, has a type such as dict[str, float | None]. Imports no torch."""

import math
from types import UnionType
from typing import Any, Union, get_args, get_origin


def has_type(value: Any, expected: Any) -> bool:
    """Whether a value has a type. A float is finite and may be an int; the keys of a dict are strings."""
    origin, arguments = get_origin(expected), get_args(expected)
    if origin in (UnionType, Union):
        return any(has_type(value, member) for member in arguments)
    if origin is list:
        return isinstance(value, list) and all(has_type(v, arguments[0]) for v in value)
    if origin is dict:
        return isinstance(value, dict) and all(
            has_type(k, str) and has_type(v, arguments[1]) for k, v in value.items()
        )
    if expected is float:
        return isinstance(value, int | float) and math.isfinite(value)
    return isinstance(value, expected)


def describe_type(expected: Any) -> str:
    """A type as Python writes it: 'str', 'list[str] | None'."""
    if get_origin(expected) in (UnionType, Union):
        return " | ".join(map(describe_type, get_args(expected)))
    if expected is type(None):
        return "None"
    return str(expected) if get_origin(expected) else expected.__name__


def describe_value(value: Any) -> str:
    """A value in a sentence: itself where it is a short string or number, else its type."""
    return f"{value!r:.40}" if value is None or isinstance(value, str | int | float) else type(value).__name__
