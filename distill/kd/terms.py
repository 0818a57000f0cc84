"""Terms: the losses of a recipe by name, and whether every word of its stages leads somewhere."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from distill.data.augment import build_augmentation
from distill.errors import NetworkError, UserError, unknown
from distill.inner.losses import cross_entropy_with_any_labels
from distill.kd import losses
from distill.kd.dfa import aggregated
from distill.kd.networks import Member
from distill.kd.recipe import LossPart, Recipe, RecipeError, StagePart
from distill.kd.taps import module_at
from distill.student.loop import optimisers

Members = dict[str, Member]
See = Callable[[str, str | None, str], Tensor]  # network, path or None for logits, source or target -> answer


@dataclass(frozen=True)
class Kind:
    """A loss by name: of the learner's answer a, what it is beside (b), the labels and the temperature."""

    value: Callable[[Tensor, Any, Tensor, float], Tensor]
    teacher: bool = False
    tap: bool = False


KINDS = {
    "cross-entropy": Kind(lambda a, b, y, tau: cross_entropy_with_any_labels(a / tau, y)),
    "hinton": Kind(lambda a, b, y, tau: losses.hinton(a, b, tau), teacher=True),
    "weighted": Kind(losses.weighted, teacher=True),
    "spread": Kind(lambda a, b, y, tau: losses.spread(a, tau), tap=True),
    "informed": Kind(lambda a, b, y, tau: losses.informed(a / tau), tap=True),
    "steady": Kind(lambda a, b, y, tau: losses.hinton(a, b, tau), tap=True),
    "hint": Kind(lambda a, b, y, tau: losses.hint(a, b), teacher=True, tap=True),
    "attention": Kind(lambda a, b, y, tau: losses.attention(a, b), teacher=True, tap=True),
    "rkd-distance": Kind(lambda a, b, y, tau: losses.rkd_distance(a, b), teacher=True, tap=True),
    "rkd-angle": Kind(lambda a, b, y, tau: losses.rkd_angle(a, b), teacher=True, tap=True),
    "aggregate": Kind(lambda a, b, y, tau: losses.hint(a, b), teacher=True, tap=True),
    "mmd": Kind(lambda a, b, y, tau: losses.mmd(a, b), tap=True),
}

WITH = {"mmd": "target", "steady": "plain"}  # what else the learner answers: the target, unchanged items


@dataclass(frozen=True)
class Term:
    """One summand of a learner's loss; `where` is its key in the recipe."""

    part: LossPart
    where: str
    connector: nn.Module | None = None
    alpha: Tensor | None = None

    def weight(self, done: float) -> float:
        """The factor, moving geometrically to `until` (in a straight line where one end is zero)."""
        first, last = self.part.weight, self.part.until
        if last is None:
            return first
        return first ** (1 - done) * last**done if first > 0 < last else first + done * (last - first)

    def value(self, learner: str, see: See, y: Tensor) -> Tensor:
        part = self.part
        own, other = see(learner, part.tap, part.domain), None
        if part.teacher and self.alpha is not None:
            layers = [see(part.teacher, layer, part.domain) for layer in part.layers or ()]
            other = aggregated(layers, self.alpha)
        elif part.teacher:
            other = see(part.teacher, part.teacher_tap or part.tap, part.domain)
        if part.loss in WITH:
            other = see(learner, part.tap, WITH[part.loss])
        try:
            joined = self.connector(own) if self.connector else own
            return KINDS[part.loss].value(joined, other, y, part.tau)
        except (RuntimeError, IndexError, ValueError, TypeError):
            theirs = "" if other is None else f" of {learner} beside {tuple(other.shape)}"
            raise RecipeError(
                f"{self.where}: the loss {part.loss} cannot take {tuple(own.shape)}{theirs}: look at its taps"
            ) from None


def check(recipe: Recipe, members: Members) -> None:
    """Whether every word of every stage leads somewhere. Raises RecipeError that names the key."""
    known = set(members)
    for i, stage in enumerate(recipe.stages):
        where = f"stages.{i}"
        check_stage(stage, where, recipe)
        for learner, parts in stage.turns.items():
            if learner not in recipe.networks:
                raise RecipeError(f"{where}.turns: " + unknown("network", learner, recipe.networks))
            if recipe.networks[learner].mean_of:
                raise RecipeError(f"{where}.turns: {learner} is an ensemble and never learns itself")
            for j, part in enumerate(parts):
                check_loss(part, f"{where}.turns.{learner}.{j}", learner, members, known, recipe)
        known |= {f"{name}@{k + 1}" for name in stage.turns for k in range(stage.keep)}
        members = members | {name: members[name.split("@")[0]] for name in known}
        if stage.route is not None and f"{stage.route}@1" not in known:
            raise RecipeError(f'{where}.route: nothing is kept of "{stage.route}": give its stage keep: 4')


def check_stage(stage: StagePart, where: str, recipe: Recipe) -> None:
    """The numbers and words of a stage. Raises RecipeError."""
    for name in ("epochs", "batch", "lr", "train"):
        above(f"{where}.{name}", getattr(stage, name))
    for name in ("keep", "mixup", "gap"):
        if not getattr(stage, name) >= 0:
            raise RecipeError(f"{where}.{name} must be at least 0, not {getattr(stage, name)}")
    for name in ("smoothing", "prune"):
        if not 0 <= getattr(stage, name) < 1:
            raise RecipeError(f"{where}.{name} must be at least 0 and below 1, not {getattr(stage, name)}")
    if not stage.turns:
        raise RecipeError(f"{where}.turns: nobody learns")
    if stage.search and not searchable(stage):
        raise RecipeError(f"{where}.search: needs one learner with aggregate losses of one teacher")
    if stage.items not in ("real", "set") or (stage.items == "set" and recipe.data.set is None):
        raise RecipeError(f'{where}.items must be real, or set where data.set names one; not "{stage.items}"')
    if stage.optimizer not in optimisers():
        raise RecipeError(f"{where}.optimizer: " + unknown("optimiser", stage.optimizer, optimisers()))
    try:
        build_augmentation(stage.augment)
    except UserError as error:
        raise RecipeError(f"{where}.augment: {error}") from None


def above(where: str, number: float | None) -> None:
    """Raises RecipeError where a number that is given is not above 0."""
    if number is not None and not number > 0:
        raise RecipeError(f"{where} must be above 0, not {number:g}")


def searchable(stage: StagePart) -> bool:
    parts = [part for parts in stage.turns.values() for part in parts]
    found = {part.teacher for part in parts if part.loss == "aggregate"}
    return len(stage.turns) == 1 and len(found) == 1


def check_loss(
    part: LossPart, where: str, learner: str, members: Members, known: set[str], recipe: Recipe
) -> None:
    """One loss: its name, numbers, teacher and taps. Raises RecipeError."""
    if part.loss not in KINDS:
        raise RecipeError(f"{where}.loss: " + unknown("loss", part.loss, KINDS))
    kind, most = KINDS[part.loss], 1.0 if part.loss == "hinton" else float("inf")
    for name in ("weight", "until"):
        if not 0 <= (getattr(part, name) or 0.0) <= most:
            span = "between 0 and 1 (the λ of distillation)" if most == 1 else "at least 0"
            raise RecipeError(f"{where}.{name} must be {span}, not {getattr(part, name):g}")
    if not part.tau > 0:
        raise RecipeError(f"{where}.tau, the temperature, must be above 0, not {part.tau:g}")
    if kind.teacher != (part.teacher is not None):
        needs = "needs a teacher" if kind.teacher else "takes no teacher"
        raise RecipeError(f"{where}: the loss {part.loss} {needs}")
    if part.teacher is not None and part.teacher not in known:
        raise RecipeError(f"{where}.teacher: " + unknown("network", part.teacher, known))
    if kind.tap and part.tap is None:
        raise RecipeError(f"{where}.tap is missing: the loss {part.loss} needs a module's path")
    if (part.layers is not None) != (part.loss == "aggregate") or part.layers == []:
        raise RecipeError(f"{where}.layers: the teacher's modules for the loss aggregate, and for no other")
    targets = part.domain == "target" or part.loss == "mmd"
    if part.domain not in ("source", "target") or (targets and recipe.data.target is None):
        raise RecipeError(f"{where}.domain is source, or target where data.target names a set")
    if part.domain == "target" and part.loss in ("cross-entropy", "weighted"):
        raise RecipeError(f"{where}: the target has no labels, and {part.loss} needs them")
    check_tap(f"{where}.tap", part.tap, members[learner])
    if part.teacher is not None:
        key = "layers" if part.layers else "teacher_tap" if part.teacher_tap else "tap"
        paths: list[str | None] = [*part.layers] if part.layers else [part.teacher_tap or part.tap]
        for path in paths:
            check_tap(f"{where}.{key}", path, members[part.teacher])


def check_tap(where: str, path: str | None, member: Member) -> None:
    try:
        _ = path is None or module_at(member.network, path)
    except NetworkError as error:
        raise RecipeError(f"{where}: in {member.name}: {error}") from None
