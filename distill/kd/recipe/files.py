"""Recipe files: YAML into frozen dataclasses, with changes of single keys, and back. Imports no torch."""

import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, asdict, fields, is_dataclass
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import yaml

from distill.errors import unknown
from distill.kd.recipe.parts import Recipe, RecipeError

TYPE_NAMES = {int: "a whole number", float: "a number", str: "a word", bool: "true or false"}


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
        return yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"{path} cannot be read ({error.strerror})") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise RecipeError(f"{path}{line}: not YAML ({getattr(error, 'problem', 'not UTF-8')})") from None


def apply_change(raw: Any, change: str, path: str | Path) -> None:
    """Change one key in place, as stages.1.epochs=3 says. Raises RecipeError."""
    key, sign, value = change.partition("=")
    if not sign:
        raise RecipeError(f'--set {change}: expected KEY=VALUE, as "stages.0.epochs=3"')
    try:
        set_key(raw, key.split("."), yaml.safe_load(value))
    except (LookupError, TypeError, ValueError, AttributeError):
        raise RecipeError(f"{path}: --set {key} leads to nothing in the recipe") from None
    except yaml.YAMLError:
        raise RecipeError(f"--set {change}: the value is not YAML") from None


def set_key(node: Any, keys: list[str], value: Any) -> None:
    """node[a][b][c] = value; missing mappings are added on the way. In a list, a key is a number."""
    for key in keys[:-1]:
        node = node[int(key)] if isinstance(node, list) else node.setdefault(key, {})
    if isinstance(node, list):
        node[int(keys[-1])] = value
    else:
        node[keys[-1]] = value


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
        return {str(k): parse_value(inner[1], v, f"{where}.{k}".lstrip(".")) for k, v in pairs}
    if annotation is float and isinstance(raw, int) and not isinstance(raw, bool):
        return float(raw)
    if type(raw) is not annotation:
        quotes = " (put it in quotes)" if annotation is str and isinstance(raw, int | float) else ""
        raise RecipeError(f"{where} must be {TYPE_NAMES[annotation]}, not {raw!r}{quotes}")
    return raw


def check_type(raw: Any, annotation: Any, name: str, where: str) -> Any:
    """raw, where it is of this type. Raises RecipeError."""
    if not isinstance(raw, annotation):
        raise RecipeError(f"{where or 'the recipe'} must be {name}, not {raw!r}")
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
