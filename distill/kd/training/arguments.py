"""Arguments that a recipe passes on to a class of torch: checked against the signature of its constructor."""

import inspect
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from distill.errors import quote, unknown
from distill.kd.recipe.parts import RecipeError

Parameters = Mapping[str, inspect.Parameter]
REFUSALS = (ValueError, TypeError, RuntimeError, ArithmeticError, LookupError)  # of torch, for odd numbers


def list_parameters(function: Callable[..., Any], hidden: Collection[str]) -> Parameters:
    """The parameters of a function or constructor that a recipe can pass, by name."""
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = inspect.signature(function).parameters
    return {n: p for n, p in parameters.items() if p.kind in named and n not in hidden}


def check_arguments(
    arguments: Mapping[str, Any],
    parameters: Parameters,
    where: str,
    owner: str,
    filled: Collection[str] = (),
) -> None:
    """Raise RecipeError for an argument that does not exist, is missing, or is of another type.

    Those that are filled in need not be there.
    """
    for name, value in arguments.items():
        if name not in parameters:
            raise RecipeError(f"{where}: " + unknown(f"argument of {owner}", name, parameters))
        check_argument(value, parameters[name], f"{where}.{name}")
    missing = [n for n, p in parameters.items() if p.default is p.empty and n not in {*arguments, *filled}]
    if missing:
        raise RecipeError(f"{where}.{missing[0]} is missing: {owner} needs it")


def check_argument(value: Any, parameter: inspect.Parameter, where: str) -> None:
    """Raise RecipeError for a value that is not of the type in a parameter's annotation, where it has one."""
    annotation = str(parameter.annotation).lower()  # as of float, Optional[int], tuple[float, float]
    words = set(re.findall(r"\w+", annotation))
    lists_only = re.match(r"(\w+\.)*(iterable|sequence|tuple)\[", annotation) is not None
    if not words & {"bool", "str", "literal", "int", "float"}:
        return
    if isinstance(value, list):
        fits = (lists_only or "list" in words) and all(is_scalar(element, words) for element in value)
    else:
        fits = not lists_only and is_scalar(value, words)
    if not fits:
        raise RecipeError(f"{where} must be {describe_type(words, lists_only)}, not {quote(value)}")
    if lists_only and isinstance(parameter.default, tuple) and len(value) != len(parameter.default):
        raise RecipeError(f"{where} must be {len(parameter.default)} numbers, not {quote(value)}")


def is_scalar(value: Any, words: Collection[str]) -> bool:
    """Whether a value is of one of the types that an annotation names."""
    if value is None:
        return bool({"none", "optional"} & set(words))
    if isinstance(value, bool):
        return "bool" in words
    if isinstance(value, str):
        return bool({"str", "literal"} & set(words))
    return "float" in words or ("int" in words and isinstance(value, int))


def describe_type(words: Collection[str], lists_only: bool) -> str:
    """The types that an annotation names, as a sentence holds them."""
    number = "number" if "float" in words else "whole number"
    if lists_only:
        return f"a list of {number}s"
    if {"int", "float"} & set(words):
        return f"a {number}"
    return "true or false" if "bool" in words else "a word"


@contextmanager
def refusals_at(where: str, owner: str) -> Iterator[None]:
    """Within, what torch says of numbers that it refuses becomes a RecipeError."""
    try:
        yield
    except REFUSALS as error:
        reason = " ".join(str(error).split())[:120] or type(error).__name__
        raise RecipeError(f"{where}: {owner} refuses this: {reason}") from None
