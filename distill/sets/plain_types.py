"""Whether a plain value, as files hold it, has a type such as dict[str, float | None]. Imports no torch."""

import math
from types import UnionType
from typing import Any, Union, get_args, get_origin

from distill.errors import UserError


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


def plain_value(value: Any) -> Any:
    """A number of numpy or torch as Python's own; any other value as it is."""
    if hasattr(value, "item") and hasattr(value, "dtype") and getattr(value, "ndim", None) == 0:
        return value.item()
    return value


def check_count(name: str, value: Any) -> int:
    """A whole number above 0, of Python, numpy or torch. Raises UserError that names the argument."""
    value = plain_value(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise UserError(f"{name} must be a whole number, not {describe_value(value)}")
    if value < 1:
        raise UserError(f"{name} must be above 0, not {value:.0f}")
    return value
