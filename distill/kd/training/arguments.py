"""Arguments that a recipe passes on to a class of torch: checked against the signature of its constructor."""

import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any

from distill.errors import quote, unknown
from distill.kd.recipe.parts import RecipeError

Parameters = Mapping[str, inspect.Parameter]


def list_parameters(function: Callable[..., Any], hidden: Collection[str]) -> Parameters:
    """The parameters of a function or constructor that a recipe can pass, by name."""
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = inspect.signature(function).parameters
    return {n: p for n, p in parameters.items() if p.kind in named and n not in hidden}


def check_arguments(arguments: Mapping[str, Any], parameters: Parameters, where: str, owner: str) -> None:
    """Raise RecipeError for an argument that does not exist, is missing, or is not like its default."""
    for name, value in arguments.items():
        if name not in parameters:
            raise RecipeError(f"{where}: " + unknown(f"argument of {owner}", name, parameters))
        default = parameters[name].default
        number = isinstance(default, int | float) and not isinstance(default, bool)
        if (number and not is_number(value)) or (isinstance(default, bool) and not isinstance(value, bool)):
            raise RecipeError(f"{where}.{name} must be like {default}, the default, not {quote(value)}")
    missing = [n for n, p in parameters.items() if p.default is p.empty and n not in arguments]
    if missing:
        raise RecipeError(f"{where}.{missing[0]} is missing: {owner} needs it")


def is_number(value: Any) -> bool:
    """Whether a value is a whole or another number."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def first_sentence(error: Exception) -> str:
    """What torch says of arguments that it refuses, on one line."""
    return " ".join(str(error).split())[:120] or type(error).__name__
