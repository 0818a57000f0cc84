"""The protocol: what a recipe must fulfil before the test set is read for its rows."""

from collections.abc import Collection, Iterable
from dataclasses import asdict
from typing import Any

from benchmarks.kd.rows import PRIVILEGED, Row
from distill.kd.recipe.parts import Recipe, StagePart

# Recipes without a grid, whose settings are published ones or one setting for all, and why
PUBLISHED = {
    "uda": "the factors, the ramps, α, τ and SGD are those of the authors' code",
    "uda-back": "as uda, whose other direction it is",
    "self": "born-again and mutual learning have τ = 1 and equal weights in their papers",
}
# What the two networks of a row differ in where that is what the row compares, by recipe, student and over
DIFFERENCES = {
    **{
        (recipe, student, "kd"): ("subclasses",)
        for recipe in ("subclass", "subclass-table")
        for student in ("own", "information", "none")
    },
    ("orthogonality-width", "wide", "plain"): ("width",),
    ("self", "generations", "plain3"): ("number of networks",),
}
NO_START = ("alphas", "frozen", "int8", "mean_of")  # the keys of a network that its first weights are not of


class ProtocolError(Exception):
    """A row that would compare two things at once; the sentence names the recipe and the networks."""


def check_items(row: Row, recipe: Recipe) -> None:
    """Raise ProtocolError where the networks of a row, or their teachers, learn from different items.

    A row whose name begins with "privileged teacher" must have such a teacher, and no other may. A bootstrap
    sample counts as the items that it is drawn from.
    """
    items = list_items(recipe, (row.student, row.over))
    sizes = set(items.values())
    privileged = row.name.startswith(PRIVILEGED)
    if privileged and len(sizes) < 2:
        raise ProtocolError(f'{row.recipe}: no teacher of "{row.name}" has other items: rename the row')
    if not privileged and len(sizes) > 1:
        described = ", ".join(f"{name}: {size}" for name, size in items.items())
        raise ProtocolError(
            f'{row.recipe}: networks of "{row.name}" learn from different items ({described}): give all the'
            f' same, or begin the name of the row with "{PRIVILEGED}"'
        )


def check_twins(row: Row, recipe: Recipe) -> None:
    """Raise ProtocolError where the networks of a row differ in more than how they are taught.

    They have the same architecture, initial seed and epochs, an ensemble part by part, but for what the table
    DIFFERENCES says of the row, which must be true.
    """
    allowed = DIFFERENCES.get((row.recipe, row.student, row.over), ())
    found = list_differences(recipe, row.student, row.over)
    if others := [key for key in found if key not in allowed]:
        described = ", ".join(f"{key}: {found[key]}" for key in others)
        raise ProtocolError(
            f'{row.recipe}: {row.student} and {row.over} of "{row.name}" are no twins ({described}): give'
            " both the same, or say in DIFFERENCES that the row compares it"
        )
    if missing := [key for key in allowed if key not in found]:
        raise ProtocolError(
            f'{row.recipe}: {row.student} and {row.over} of "{row.name}" do not differ in {missing[0]}: take'
            " it out of DIFFERENCES"
        )


def list_differences(recipe: Recipe, student: str, over: str) -> dict[str, str]:
    """What two networks, or the parts of two ensembles, differ in before they are taught: both values."""
    pairs = [[name] if (mean := recipe.networks[name].mean_of) is None else mean for name in (student, over)]
    if len(pairs[0]) != len(pairs[1]):
        return {"number of networks": f"{len(pairs[0])} and {len(pairs[1])}"}
    twins = [[describe_start(recipe, name) for name in pair] for pair in zip(*pairs, strict=True)]
    return {key: f"{a[key]} and {b[key]}" for a, b in twins for key in a if a[key] != b[key]}


def describe_start(recipe: Recipe, name: str) -> dict[str, Any]:
    """A network's architecture, what its first weights are of, and how many epochs it learns."""
    keys = {key: value for key, value in asdict(recipe.networks[name]).items() if key not in NO_START}
    return keys | {"epochs": sum(stage.epochs for stage in recipe.stages if name in stage.turns)}


def check_assistants(name: str, recipe: Recipe) -> None:
    """Raise ProtocolError where a network learns from one that began as its copy, directly or through others.

    A teacher or an assistant of the student's own architecture must have other initial weights: else the
    student is compared with a longer training of itself.
    """
    starts = {network: begin_with(recipe, network) for network in recipe.networks}
    for student, start in starts.items():
        teachers = [t for t in list_lineage(recipe, [student]) if t != student and starts[t] == start]
        if start and teachers:
            raise ProtocolError(
                f"{name}: {student} learns from {teachers[0]}, which has its architecture and its initial"
                f" weights: give {teachers[0]} another seed or another size"
            )


def begin_with(recipe: Recipe, name: str) -> dict[str, Any]:
    """The architecture of a network and what its first weights are of; nothing for an ensemble."""
    if recipe.networks[name].mean_of is not None:
        return {}
    return {key: value for key, value in describe_start(recipe, name).items() if key != "epochs"}


def check_grid(name: str, recipes: Collection[str]) -> None:
    """Raise ProtocolError for a recipe that is not one of those with a grid, nor one of PUBLISHED."""
    if name not in recipes and name not in PUBLISHED:
        raise ProtocolError(
            f"{name}: it has no grid of settings to choose: add one to CHOICES, or say in PUBLISHED whose"
            " settings it has"
        )


def list_items(recipe: Recipe, names: Iterable[str]) -> dict[str, str]:
    """For networks and all their teachers: the items that they learn from, in words."""
    lineage = list_lineage(recipe, names)
    return {
        name: " and ".join(dict.fromkeys(describe_items(stage, recipe) for stage in stages))
        for name in lineage
        if (stages := [stage for stage in recipe.stages if name in stage.turns])
    }


def describe_items(stage: StagePart, recipe: Recipe) -> str:
    """The items of a stage: how many of which."""
    sizes = [size for size in (stage.train, recipe.data.train) if size is not None]
    return f"{min(sizes) if sizes else 'all'} of the {'set' if stage.items == 'set' else 'data'}"


def list_lineage(recipe: Recipe, names: Iterable[str]) -> list[str]:
    """Networks with all that they learn from, directly or through others; anchors count as their network."""
    lineage, waiting = list[str](), list(names)
    while waiting:
        name = waiting.pop(0).partition("@")[0]
        if name in lineage or name not in recipe.networks:
            continue
        lineage.append(name)
        waiting += recipe.networks[name].mean_of or []
        parts = [part for s in recipe.stages if name in s.turns for part in s.turns[name].losses]
        waiting += [part.teacher for part in parts if part.teacher]
    return lineage
