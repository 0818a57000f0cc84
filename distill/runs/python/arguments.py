"""The arguments of distill(): plain values and words for the settings, and errors in their own names."""

import math
import os
from collections.abc import Mapping
from dataclasses import replace
from inspect import Parameter
from types import FunctionType
from typing import Any

from distill.data.dataset import Dataset
from distill.errors import UserError
from distill.inner import INNER_LOSSES
from distill.inner.losses import loss_name
from distill.inner.rules import SGD, Adam, Rule
from distill.methods import METHODS
from distill.methods.base import Method
from distill.outer.parametrisations import PARAMETRISATIONS
from distill.outer.parametrisations.base import Parametrisation
from distill.registry import AUTO, ITEMS, find, options_of
from distill.runs.settings import Settings
from distill.sets.distilled import DistilledSet
from distill.sets.plain_types import check_count, describe_value, plain_value

LIMITS = {"minutes": 525_960.0, "lr": 1e6, "outer_lr": 1e6}  # more, as more than a year, is a slip
MAX_SEED = 2**63 - 1
IN_MEMORY = "DistilledSet.pt"  # the word for a start that is an object and no file


def plain_arguments(values: Mapping[str, Any], parameters: Mapping[str, Parameter]) -> dict[str, Any]:
    """The arguments with Python's numbers, and paths and lists of words as words. Raises UserError.

    A default that is not None says the type of an argument where the settings do not.
    """
    plain = {name: plain_value(value) for name, value in values.items()}
    plain["n"] = check_count("n", plain["n"], ITEMS)
    for name, value in plain.items():
        default = parameters[name].default
        if value is None and default not in (None, Parameter.empty):
            raise UserError(f"{name} is None: leave it out for its default")
        if (
            isinstance(value, bool)
            and not isinstance(default, bool)
            and name not in ("data", "network", "test")
        ):
            raise UserError(f"{name} must not be {value}: leave it out for its default")
        if isinstance(default, bool) and not isinstance(value, bool):
            raise UserError(f"{name} must be True or False, not {describe_value(value)}")
        is_function = isinstance(default, FunctionType) or (name == "inner_loss" and value is not None)
        if is_function and not callable(value):
            raise UserError(f"{name} is a {type(value).__name__}: give a function of (logits, labels)")
    check_limits(plain)
    return plain | {"augment": join_words(plain["augment"]), "start": word_of_start(plain["start"])}


def check_limits(values: Mapping[str, Any]) -> None:
    """Raise UserError for a seed, a time or a rate that nobody means."""
    seed = values["seed"]
    if isinstance(seed, int) and not 0 <= seed <= MAX_SEED:
        raise UserError(f"seed must be a whole number from 0 to {MAX_SEED}, not {seed:.3g}")
    for name, limit in LIMITS.items():
        value = values[name]
        if isinstance(value, int | float) and math.isfinite(value) and value > limit:
            raise UserError(f"{name} must be at most {limit:.6g}, not {value:.3g}")


def join_words(words: Any) -> Any:
    """The words of a list as one, with hyphens; other values as they are. Raises UserError."""
    if not isinstance(words, list | tuple):
        return words
    wrong = next((word for word in words if not isinstance(word, str)), None)
    if wrong is not None:
        raise UserError(
            f'augment holds {describe_value(wrong)}: give words, as "shift-flip" or ["shift", "flip"]'
        )
    return "-".join(words)


def word_of_start(start: Any) -> Any:
    """A path as a word, a DistilledSet as a word that no start has; other values as they are."""
    if isinstance(start, DistilledSet):
        return IN_MEMORY
    return os.fspath(start) if isinstance(start, os.PathLike) else start


def word_of_rule(rule: Rule | None) -> str:
    """The word whose defaults suit a rule."""
    if rule is None:
        return AUTO
    if isinstance(rule, SGD):
        return "momentum" if rule.momentum else "sgd"
    if isinstance(rule, Adam):
        return "adam"
    raise UserError(f"rule is a {type(rule).__name__}: give SGD(), SGD(0.9) or Adam() of distill")


def word_of_method(method: Any) -> str:
    """The word of a method in METHODS; of one that is not there, the word of unroll."""
    if isinstance(method, str):
        return method
    if isinstance(method, Method):
        return next((word for word in METHODS if find(METHODS, "method", word) is type(method)), "unroll")
    raise UserError(f"method is {method!r:.80}: give a word of {', '.join(METHODS)}, or a Method object")


def describe_parametrisation(value: Any) -> dict[str, Any]:
    """The word of a parametrisation in PARAMETRISATIONS, and the options of an object. Raises UserError."""
    if isinstance(value, str):
        return {"parametrisation": value}
    if isinstance(value, Parametrisation) and value.word in PARAMETRISATIONS:
        return {"parametrisation": value.word, "parametrisation_options": changed_options(value)}
    raise UserError(
        f"parametrisation is {value!r:.80}: give a word of {', '.join(PARAMETRISATIONS)}, or an object as"
        " distill.MultiFormation(2)"
    )


def is_known(method: Any) -> bool:
    """Whether a method is one of METHODS, a word or an object, whose options the settings can hold."""
    return isinstance(method, str) or type(method) is find(METHODS, "method", word_of_method(method))


def are_known(method: Any, inner_loss: Any) -> bool:
    """Whether both are the package's, so that it knows which labels leave the loss bounded."""
    return is_known(method) and (inner_loss is None or loss_name(inner_loss) in INNER_LOSSES)


def options_of_objects(method: Any, inner_loss: Any) -> dict[str, Any]:
    """The options that the command line would need for a Method object and an inner loss."""
    options = changed_options(method) if isinstance(method, Method) and is_known(method) else {}
    if inner_loss is not None and word_of_method(method) == "unroll" and are_known(method, inner_loss):
        options["inner_loss"] = loss_name(inner_loss)
    return options


def changed_options(plug_in: Any) -> dict[str, Any]:
    """The options of an object that differ from their defaults."""
    values = {field: getattr(plug_in, field.name) for field in options_of(plug_in)}
    return {field.name: value for field, value in values.items() if value != field.default}


def fill_in_options(settings: Settings, method: Method) -> Method:
    """A Method object with the defaults of its options that depend on other settings."""
    options: Any = settings.outer.method_options if is_known(method) else {}
    changes = {name: value for name, value in options.items() if getattr(method, name) is None}
    return replace(method, **changes) if changes else method  # type: ignore[type-var]


def check_augment(augment: str, train: Dataset) -> None:
    """Raise UserError where random changes of images are asked for items that are none."""
    if augment and len(train.shape) != 3:
        raise UserError(f"augment is for images (channels, height, width), not for items {train.shape}")
