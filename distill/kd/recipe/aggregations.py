"""Checks of aggregations (DFA): what a search needs, weights that nobody searched, groups of one size."""

from collections.abc import Iterator
from typing import NamedTuple

import torch

from distill.data.dataset import Dataset
from distill.errors import unknown
from distill.kd.losses import KD_LOSSES
from distill.kd.networks import Network, Networks
from distill.kd.recipe.files import is_short
from distill.kd.recipe.parts import LossPart, Recipe, RecipeError, SearchPart, StagePart
from distill.kd.taps import forward_with_taps
from distill.kd.techniques.alphas import ALPHAS, name_group


class Aggregate(NamedTuple):
    """An aggregate loss, with its learner and its key in the recipe."""

    part: LossPart
    learner: str
    where: str

    @property
    def key(self) -> tuple[str, str]:
        """The teacher, of which anchors share the α, and the group."""
        return str(self.part.teacher).partition("@")[0], name_group(self.part)


def check_aggregations(recipe: Recipe, networks: Networks, train: Dataset) -> None:
    """All stages, before anything is trained. Raises RecipeError that names the key."""
    searched = {(name, group) for name, network in networks.items() for group in network.alphas}
    for i, stage in enumerate(recipe.stages):
        where, aggregates = f"stages.{i}", list(list_aggregates(stage, f"stages.{i}"))
        for aggregate in aggregates:
            check_alpha(aggregate, bool(stage.search), searched)
            check_sizes(aggregate, networks, train, bool(stage.search))
        if stage.search:
            check_search(stage, aggregates, where)
            searched |= {aggregate.key for aggregate in aggregates}


def list_aggregates(stage: StagePart, where: str) -> Iterator[Aggregate]:
    """The aggregate losses of a stage."""
    for learner, turn in stage.turns.items():
        key = f"{where}.turns.{learner}" + ("" if is_short(turn) else ".losses")
        for j, part in enumerate(turn.losses):
            if part.loss == "aggregate":
                yield Aggregate(part, learner, f"{key}.{j}")


def check_search(stage: StagePart, aggregates: list[Aggregate], where: str) -> None:
    """One learner, one teacher, no other losses or weights, a warm-up that ends. Raises RecipeError."""
    teachers = {aggregate.part.teacher for aggregate in aggregates}
    words = {part.loss for turn in stage.turns.values() for part in turn.losses}
    if len(stage.turns) != 1 or len(teachers) != 1 or words != {"cross-entropy", "aggregate"}:
        raise RecipeError(
            f"{where}.search: needs one learner with aggregate losses of one teacher and the cross-entropy"
        )
    for aggregate in aggregates:
        if aggregate.part.weight != KD_LOSSES["aggregate"].weight or aggregate.part.until is not None:
            raise RecipeError(
                f"{aggregate.where}.weight: in a search the weights are those of its two paths: leave it out,"
                f" and give {where}.search: {{ts: 1, st: 1}}"
            )
    if isinstance(stage.search, SearchPart) and stage.search.warmup >= stage.epochs:
        raise RecipeError(
            f"{where}.search.warmup must be below the {stage.epochs} epochs, not {stage.search.warmup}"
        )


def check_alpha(aggregate: Aggregate, search: bool, searched: set[tuple[str, str]]) -> None:
    """A known word for the weights, and a search or a file before they are used. Raises RecipeError."""
    part, where = aggregate.part, aggregate.where
    if part.alpha not in ALPHAS:
        raise RecipeError(f"{where}.alpha: " + unknown("choice of weights", part.alpha, ALPHAS))
    if part.alpha == "searched" and not search and aggregate.key not in searched:
        teacher, group = aggregate.key
        raise RecipeError(
            f'{where}.alpha: nobody searched the weights of "{group}" of {teacher}: put a stage with search:'
            f" true before it, read them by networks.{teacher}.alphas, or say alpha: mean (or random)"
        )


def check_sizes(aggregate: Aggregate, networks: Networks, train: Dataset, search: bool) -> None:
    """Layers of one size, and in a search of the height and width of the tap. Raises RecipeError."""
    part, teacher = aggregate.part, networks[aggregate.key[0]]
    shapes = probe_shapes(teacher, part.layers or [], train)
    first, size = next(iter(shapes.items()))
    for layer, other in shapes.items():
        if other != size:
            raise RecipeError(
                f"{aggregate.where}.layers: {first} of {teacher.name} is {format_shape(size)}, {layer} is"
                f" {format_shape(other)}: the layers of a group have one size, so give each size its own"
            )
    student = probe_shapes(networks[aggregate.learner], [str(part.tap)], train)[str(part.tap)]
    if search and student[1:] != size[1:]:
        raise RecipeError(
            f"{aggregate.where}.tap: {part.tap} of {aggregate.learner} is {format_shape(student)}, {first} of"
            f" {teacher.name} is {format_shape(size)}: choose layers and a tap of one height and width"
        )


def probe_shapes(network: Network, paths: list[str], train: Dataset) -> dict[str, tuple[int, ...]]:
    """The shapes of modules' outputs for one item, by path."""
    with torch.no_grad():
        _, taps = forward_with_taps(network.module, train.batch(slice(0, 1))[0], paths)
    return {path: tuple(taps[path].shape[1:]) for path in paths}


def format_shape(shape: tuple[int, ...]) -> str:
    """A shape as a sentence holds it."""
    return "×".join(map(str, shape))
