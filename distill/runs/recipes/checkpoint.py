"""run.ckpt: everything that the next batch of a recipe's run needs, and what tells its recipe and data."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from distill.errors import RunError, SetError, UserError, quote
from distill.kd.recipe.files import parse_value, to_plain
from distill.kd.recipe.parts import Recipe
from distill.kd.sources import Sources
from distill.kd.state.run import RecipeRun
from distill.kd.state.stage import StateError
from distill.runs.files import fingerprint
from distill.runs.recipes.folder import CHECKPOINT, FORMAT
from distill.sets.plain_types import has_type
from distill.sets.storage import read_tensors, write_tensors

ANEW = "start the run anew with --overwrite"
Digests = dict[str, str]  # of a recipe's Python files


def save_checkpoint(
    folder: Path, run: RecipeRun, plugins: Digests, facts: fingerprint.Facts, seconds: float
) -> None:
    """Write run.ckpt, whole or not at all; seconds are those that the run has taken so far.

    plugins: the digests of the files as the run has imported them.
    """
    content = {
        "format": FORMAT,
        "recipe": to_plain(run.recipe),
        "plugins": plugins,
        "data": facts,
        "seconds": seconds,
        "run": run.state_dict(),
    }
    write_tensors(folder / CHECKPOINT, content)


def load_checkpoint(folder: Path, run: RecipeRun, plugins: Digests, facts: fingerprint.Facts) -> float:
    """Let a run go on from run.ckpt; the seconds that it took before.

    Raises RunError where the file is damaged, or of another recipe or other data.
    """
    path = folder / CHECKPOINT
    try:
        content = read_tensors(path, "cpu", FORMAT)
    except SetError as error:
        raise RunError(f"{error}: {ANEW}") from None
    if not has_type(content.get("seconds"), float):
        raise RunError(f"{path} is damaged (seconds): {ANEW}")
    check_recipe(path, content.get("recipe"), run.recipe)
    check_plugins(path, content.get("plugins"), plugins)
    fingerprint.compare_facts(folder, path.name, content.get("data"), facts)
    with explain_state(path):
        run.load_state_dict(content.get("run", {}))
    return float(content["seconds"])


@contextmanager
def explain_state(path: Path) -> Iterator[None]:
    """A state that does not fit is that of a file: in a RunError that names it."""
    try:
        yield
    except StateError as error:
        raise RunError(f"{path}: {error}: {ANEW}") from None


def check_recipe(path: Path, saved: Any, recipe: Recipe) -> None:
    """Raise RunError that names the first key in which a checkpoint's recipe differs."""
    try:
        before = flatten(to_plain(parse_value(Recipe, saved, "")))
    except UserError as error:
        raise RunError(f"{path} holds a recipe that cannot be read ({error}): {ANEW}") from None
    now = flatten(to_plain(recipe))
    for key in [*now, *before]:
        if before.get(key) != now.get(key):
            old, new = (describe_value(values, key) for values in (before, now))
            raise RunError(
                f"{path} is of a recipe that has changed: {key} was {old} and is {new}; give the same recipe,"
                f" or {ANEW}"
            )


def digest_plugins(recipe: Recipe) -> Digests:
    """The hash of each of the recipe's Python files."""
    return {file: sha256(Path(file).read_bytes()).hexdigest() for file in recipe.plugins}


def check_plugins(path: Path, saved: Any, plugins: Digests) -> None:
    """Raise RunError where a Python file of the recipe is another than it was."""
    for file, digest in plugins.items():
        if not isinstance(saved, dict) or saved.get(file) != digest:
            raise RunError(f"{path} is of a recipe whose plugin {file} has changed since: {ANEW}")


def describe_value(values: Mapping[str, Any], key: str) -> str:
    """A key's value as a sentence holds it."""
    return quote(values[key]) if key in values else "not there"


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """{"stages.0.epochs": 3 …} of nested dicts and lists; an empty one is a value."""
    pairs = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    flat: dict[str, Any] = {}
    for key, part in pairs:
        flat |= flatten(part, f"{prefix}.{key}".lstrip("."))
    return flat or {prefix: value}


def describe_sources(sources: Sources) -> fingerprint.Facts:
    """The fingerprints of all data of a recipe."""
    splits = {
        "train": sources.train,
        "validation": sources.validation,
        "test": sources.test,
        "target": sources.target,
        "target test": sources.target_test,
    }
    facts = {name: fingerprint.describe_split(split) for name, split in splits.items() if split is not None}
    if sources.set is not None:
        labels, items = sources.set.labels, sources.set.items
        digests = {"labels": fingerprint.digest(labels), "items": fingerprint.digest(items)}
        facts["distilled"] = {"size": list(items.shape[1:]), "number": len(items), **digests}
    return facts
