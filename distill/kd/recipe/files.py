"""Recipe files: YAML into frozen dataclasses, with changes of single keys, and back. Imports no torch."""

import math
import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import yaml

from distill.errors import cut, quote, unknown
from distill.kd.recipe.parts import Recipe, RecipeError
from distill.kd.recipe.yaml_loader import parse_yaml

TYPE_NAMES = {int: "a whole number", float: "a finite number", str: "a word", bool: "true or false"}
MOST_BYTES, LARGEST = 10**6, 2**63  # of a recipe's file; of its whole numbers


def read_recipe(path: str | Path, changes: Sequence[str] = ()) -> Recipe:
    """The recipe of a YAML file, with changes as stages.1.epochs=3. Raises RecipeError."""
    raw = load_yaml(path)
    for change in changes:
        apply_change(raw, change, path)
    try:
        recipe: Recipe = parse_value(Recipe, raw, "")
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from None
    return recipe


def load_yaml(path: str | Path) -> Any:
    """The plain values of a YAML file. Raises RecipeError."""
    try:
        with open(path, "rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise RecipeError(f"{path} cannot be read ({error.strerror})") from None
    if len(content) > MOST_BYTES:
        raise RecipeError(f"{path} is larger than a recipe can be: 1 MB")
    try:
        return parse_yaml(content.decode("utf-8"))
    except UnicodeDecodeError:
        raise RecipeError(f"{path}: not YAML (not UTF-8)") from None
    except RecipeError as error:
        raise RecipeError(f"{path}{error}") from None


def apply_change(raw: Any, change: str, path: str | Path) -> None:
    """Change one key in place, as stages.1.epochs=3 says. Raises RecipeError."""
    key, sign, value = change.partition("=")
    if not sign:
        raise RecipeError(f'--set {cut(change)}: expected KEY=VALUE, as "stages.0.epochs=3"')
    try:
        set_key(raw, key.split("."), parse_yaml(value))
    except (LookupError, TypeError, ValueError, AttributeError):
        raise RecipeError(f"{path}: --set {cut(key)} leads to nothing in the recipe") from None
    except RecipeError as error:
        raise RecipeError(
            f"--set {cut(key)}: the value is not YAML{str(error).partition('not YAML')[2]}"
        ) from None


def set_key(node: Any, keys: list[str], value: Any) -> None:
    """node[a][b][c] = value; missing mappings are added on the way. In a list, a key is a number."""
    for key in keys[:-1]:
        node = node[int(key)] if isinstance(node, list) else node.setdefault(key, {})
    if isinstance(node, list):
        node[int(keys[-1])] = value
    else:
        node[keys[-1]] = value


def check_recipe_types(recipe: Any) -> Recipe:
    """A recipe made in Python, where each value has the type of its key. Raises RecipeError."""
    if not isinstance(recipe, Recipe):
        raise RecipeError(f"recipe is a {type(recipe).__name__}: give what read_recipe(path) returns")
    checked: Recipe = parse_value(Recipe, asdict(recipe), "")
    return checked


def parse_value(annotation: Any, raw: Any, where: str) -> Any:
    """raw as a type: a dataclass, a list, a dict, an optional or a plain type. Raises RecipeError."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (types.UnionType, Union):
        return None if raw is None else parse_value(next(k for k in inner if k is not type(None)), raw, where)
    if is_dataclass(annotation):
        return parse_dataclass(annotation, check_type(raw, Mapping, "keys and values", where), where)
    if origin is list:
        items = check_type(raw, list, "a list", where)
        return [parse_value(inner[0], item, f"{where}.{i}") for i, item in enumerate(items)]
    if origin is dict:
        pairs = check_type(raw, Mapping, "keys and values", where).items()
        return {str(k): parse_value(inner[1], v, f"{where}.{cut(str(k))}".lstrip(".")) for k, v in pairs}
    return parse_plain(annotation, raw, where)


def parse_plain(annotation: Any, raw: Any, where: str) -> Any:
    """raw as a word, a number or a truth value. Raises RecipeError."""
    if type(raw) is int and abs(raw) >= LARGEST:
        raise RecipeError(f"{where} must be a number of at most 18 digits, not {quote(raw)}")
    if annotation is float and type(raw) is int:
        return float(raw)
    if type(raw) is not annotation or (annotation is float and not math.isfinite(raw)):
        quotes = " (put it in quotes)" if annotation is str and isinstance(raw, int | float) else ""
        raise RecipeError(f"{where} must be {TYPE_NAMES[annotation]}, not {quote(raw)}{quotes}")
    if annotation is str and not raw.isprintable():
        raise RecipeError(f"{where} holds a control character: {quote(raw)}")
    return raw


def check_type(raw: Any, annotation: Any, name: str, where: str) -> Any:
    """raw, where it is of this type. Raises RecipeError."""
    if not isinstance(raw, annotation):
        raise RecipeError(f"{where or 'the recipe'} must be {name}, not {quote(raw)}")
    return raw


def parse_dataclass(annotation: Any, raw: Mapping[str, Any], where: str) -> Any:
    """A dataclass from a mapping; unknown keys are refused with the nearest name."""
    hints, prefix = get_type_hints(annotation), f"{where}." if where else ""
    for key in raw:
        if key not in hints:
            raise RecipeError(f"{where or 'the recipe'}: " + unknown("key", str(key), hints))
    for f in fields(annotation):
        if f.default is MISSING and f.default_factory is MISSING and f.name not in raw:
            raise RecipeError(f"{prefix}{f.name} is missing")
    return annotation(**{key: parse_value(hints[key], value, prefix + key) for key, value in raw.items()})


def format_recipe(recipe: Recipe) -> str:
    """The recipe as YAML with every key, as a run keeps it."""
    return str(yaml.safe_dump(asdict(recipe), sort_keys=False))
