"""The protocol: what a recipe must fulfil before the test set is read for its rows."""

from collections.abc import Iterable

from benchmarks.kd.rows import PRIVILEGED, Row
from distill.kd.recipe.parts import Recipe, StagePart


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
