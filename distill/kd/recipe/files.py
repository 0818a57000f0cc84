"""Recipe files: YAML into frozen dataclasses, with changes of single keys, and back. Imports no torch."""

import math
import types
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

import yaml

from distill.errors import cut, quote, unknown
from distill.kd.plugins.files import load_plugins
from distill.kd.recipe.parts import Recipe, RecipeError
from distill.kd.recipe.yaml_loader import parse_yaml

TYPE_NAMES = {int: "a whole number", float: "a finite number", str: "a word", bool: "true or false"}
MOST_BYTES, LARGEST = 10**6, 2**63  # of a recipe's file; of its whole numbers


def read_recipe(path: str | Path, changes: Sequence[str] = (), allow_plugins: bool = False) -> Recipe:
    """The recipe of a YAML file, with changes as stages.1.epochs=3, and its plugins. Raises RecipeError."""
    raw = load_yaml(path)
    for change in changes:
        apply_change(raw, change, path)
    try:
        recipe: Recipe = parse_value(Recipe, raw, "")
        load_plugins(recipe.plugins, allow_plugins)
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
    checked: Recipe = parse_value(Recipe, to_plain(recipe), "")
    return checked


def parse_value(annotation: Any, raw: Any, where: str) -> Any:
    """raw as a type: a dataclass, a list, a dict, one of several or a plain type. Raises RecipeError."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (types.UnionType, Union):
        return None if raw is None else parse_value(choose_type(inner, raw), raw, where)
    if is_dataclass(annotation):
        return parse_dataclass(annotation, raw, where)
    if origin is list:
        items = check_type(raw, list, "a list", where)
        return [parse_value(inner[0], item, f"{where}.{i}") for i, item in enumerate(items)]
    if origin is dict:
        pairs = check_type(raw, Mapping, "keys and values", where).items()
        return {str(k): parse_value(inner[1], v, f"{where}.{cut(str(k))}".lstrip(".")) for k, v in pairs}
    if annotation is Any:
        return [parse_value(Any, v, where) for v in raw] if isinstance(raw, list) else parse_any(raw, where)
    return parse_plain(annotation, raw, where)


def choose_type(annotations: Sequence[Any], raw: Any) -> Any:
    """The first of the types that has raw's form: keys and values, a list, or neither."""
    types_of_values = [a for a in annotations if a is not type(None)]
    form = dict if isinstance(raw, Mapping) else list if isinstance(raw, list) else None
    fitting = (a for a in types_of_values if (dict if is_dataclass(a) else get_origin(a)) is form)
    return next(fitting, types_of_values[0])


def parse_any(raw: Any, where: str) -> Any:
    """raw, where it is a word, a number, a truth value or nothing. Raises RecipeError."""
    if raw is not None and type(raw) not in TYPE_NAMES:
        raise RecipeError(f"{where} must be a word, a number or a list of them, not {quote(raw)}")
    return None if raw is None else parse_plain(type(raw), raw, where)


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


def parse_dataclass(annotation: Any, raw: Any, where: str) -> Any:
    """A dataclass from a mapping, or from the value of its key SHORT. Raises RecipeError.

    Unknown keys are refused with the nearest name, or put into its field OPEN.
    """
    hints, prefix = get_type_hints(annotation), f"{where}." if where else ""
    short, rest = getattr(annotation, "SHORT", None), getattr(annotation, "OPEN", None)
    if short and not isinstance(raw, Mapping):
        return annotation(**{short: parse_value(hints[short], raw, where)})
    check_type(raw, Mapping, "keys and values", where)
    names = {f.name.rstrip("_"): f.name for f in fields(annotation)}
    others = {key: value for key, value in raw.items() if key not in names}
    if others and not rest:
        raise RecipeError(f"{where or 'the recipe'}: " + unknown("key", str(next(iter(others))), names))
    for f in fields(annotation):
        if f.default is MISSING and f.default_factory is MISSING and f.name not in raw:
            raise RecipeError(f"{prefix}{f.name} is missing")
    known = {names[k]: parse_value(hints[names[k]], v, prefix + k) for k, v in raw.items() if k in names}
    if others:
        known[str(rest)] = known.get(str(rest), {}) | parse_value(dict[str, Any], others, where)
    return annotation(**known)


def format_recipe(recipe: Recipe) -> str:
    """The recipe as YAML with every key, as a run keeps it."""
    return str(yaml.safe_dump(to_plain(recipe), sort_keys=False))


def to_plain(part: Any) -> Any:
    """A part as the YAML holds it: parse_value() gives the part again."""
    if isinstance(part, list | dict):
        pairs = part.items() if isinstance(part, dict) else enumerate(part)
        values = {k: to_plain(v) for k, v in pairs}
        return values if isinstance(part, dict) else list(values.values())
    if not is_dataclass(part):
        return part
    values = {f.name.rstrip("_"): to_plain(getattr(part, f.name)) for f in fields(part)}
    values |= values.pop(getattr(part, "OPEN", ""), {})
    short = getattr(part, "SHORT", None)
    return values[short] if short and is_short(part) else values


def is_short(part: Any) -> bool:
    """Whether a part has no more than the value of its key SHORT."""
    return bool(part == type(part)(**{part.SHORT: getattr(part, part.SHORT)}))
