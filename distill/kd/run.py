"""follow(): a recipe from its data to trained networks."""

import math
from collections.abc import Generator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from distill.data import TEXT_SETS, dataset, images
from distill.data import embedding as text
from distill.data import texts as corpora
from distill.data.dataset import Dataset
from distill.errors import NetworkError, UserError, unknown
from distill.kd.networks import Member, member, together
from distill.kd.recipe import DataPart, NetworkPart, Recipe, RecipeError, StagePart
from distill.kd.stages import Stage, answers
from distill.kd.terms import Members, above, check
from distill.randomness import stream
from distill.sets.distilled import DistilledSet
from distill.student.network_files import load
from distill.student.training import Data


@dataclass(frozen=True)
class Sources:
    """What a recipe learns from and is measured on."""

    train: Dataset
    test: Dataset
    set: DistilledSet | None = None
    target: Dataset | None = None
    target_test: Dataset | None = None
    fine: Tensor | None = None  # the test labels before classes were put together


class Progress(NamedTuple):
    """Where a run is: the stage from 1, of how many, and the share of it that is done."""

    stage: int
    stages: int
    done: float
    losses: tuple[float, ...]


def opened(part: DataPart, seed: int, device: str) -> Sources:
    """The data of a recipe. Raises UserError."""
    above("data.train", part.train)
    above("data.test", part.test)
    train, test = real(part.name, part.dir, part.vectors, device)
    if part.score not in ("test", "held-out"):
        raise RecipeError(f'data.score must be test or held-out, not "{part.score}"')
    if part.score == "held-out":
        train, test = train.split(len(train) // 10, stream("split", "student"))
    order = stream("items", seed)
    train, test = some(train, part.train, order), some(test, part.test, stream("items", "test"))
    fine = test.labels if part.merge else None
    if part.merge:
        train, test = (merged(split, part.merge) for split in (train, test))
    distilled = DistilledSet.load(part.set, device) if part.set else None
    if distilled and (
        not train.matches_items(distilled.items) or distilled.labels.shape[1] != len(train.classes)
    ):
        raise RecipeError(f"data.set: {part.set} holds other items or classes than {part.name}")
    if part.target is None:
        return Sources(train, test, distilled, fine=fine)
    target, target_test = (resized(s, train) for s in real(part.target, part.target_dir, None, device))
    if target.classes != train.classes and len(target.classes) != len(train.classes):
        raise RecipeError(f"data.target: {part.target} has other classes than {part.name}")
    return Sources(train, test, distilled, target, target_test, fine)


def real(name: str, folder: str | None, vectors: str | None, device: str) -> tuple[Dataset, Dataset]:
    """(train, test) of images, or of texts with their word vectors."""
    if name in TEXT_SETS:
        return text.embed_corpus(corpora.load_corpus(name, folder), vectors or "bundled", device=device)
    return images.load(name, folder, device)


def some(split: Dataset, most: int | None, generator: torch.Generator) -> Dataset:
    """A split in random order, at most so many of its items."""
    order = torch.randperm(len(split), generator=generator)
    return split.select(order[:most].to(split.labels.device))


def merged(split: Dataset, groups: list[list[int]]) -> Dataset:
    """A split with classes put together. Raises RecipeError."""
    new = {label: k for k, group in enumerate(groups) for label in group}
    if sorted(new) != list(range(len(split.classes))) or len(groups) < 2:
        raise RecipeError(
            f"data.merge must place each of the classes 0 … {len(split.classes) - 1} in a group"
        )
    table = torch.tensor([new[label] for label in sorted(new)], device=split.labels.device)
    names = tuple("+".join(split.classes[label] for label in group) for group in groups)
    return replace(split, labels=table[split.labels], classes=names)


def resized(split: Dataset, like: Dataset) -> Dataset:
    """A set of images at another's height and width. Raises RecipeError where they have other channels."""
    if split.items.ndim != 4 or split.shape[0] != like.shape[0]:
        raise RecipeError(f"data.target: {split.name} holds {split.shape}, not items like {like.shape}")
    return replace(split, items=dataset.resize_images(split.items, (like.shape[1], like.shape[2])))


def follow(recipe: Recipe, sources: Sources, device: str = "cpu") -> Generator[Progress, None, Members]:
    """Progress after each batch; the generator's value is the trained members by name. Raises UserError."""
    members = {
        name: built(name, sized(name, recipe.networks), sources.train, recipe.seed, device)
        for name in recipe.networks
    }
    members |= ensembles(recipe, members)
    check(recipe, members)
    for i, part in enumerate(recipe.stages):
        for leg in legs(part, members, sources):
            stage = stage_of(leg, f"stages.{i}", members, sources, recipe.seed)
            for step, losses in stage.run():
                yield Progress(i + 1, len(recipe.stages), step / stage.total, losses)
        members |= ensembles(recipe, members)
    return members


UNBUILT = ("checkpoint", "seed", "int8", "mean_of", "between")  # what a network is not built from


def sized(name: str, networks: Mapping[str, NetworkPart]) -> NetworkPart:
    """A network's words, with the width between two others where it asks for that. Raises RecipeError."""
    part = networks[name]
    if part.between is None or part.width is not None:
        return part
    widths = [networks[other].width for other in part.between if other in networks]
    if len(part.between) != 2 or len(widths) != 2 or None in widths:
        raise RecipeError(f"networks.{name}.between must name two networks whose width is given")
    product = math.prod(width for width in widths if width)
    return replace(part, width=round(math.sqrt(product)))


def ensembles(recipe: Recipe, members: Members) -> Members:
    """The ensembles of a recipe, of their networks as they are now. Raises RecipeError."""
    found = {}
    for name, part in recipe.networks.items():
        for other in part.mean_of or ():
            if other not in recipe.networks or recipe.networks[other].mean_of:
                known = (n for n, p in recipe.networks.items() if not p.mean_of)
                raise RecipeError(f"networks.{name}.mean_of: " + unknown("network", other, known))
        if part.mean_of:
            found[name] = together(name, [members[other] for other in part.mean_of])
    return found


def built(name: str, part: NetworkPart, train: Dataset, seed: int, device: str) -> Member:
    """A network of a recipe with its first weights. Raises RecipeError that names the key."""
    words = {k: v for k, v in asdict(part).items() if k not in UNBUILT}
    for key in ("width", "depth", "subclasses"):
        above(f"networks.{name}.{key}", getattr(part, key))
    try:
        made = member(name, words, train.shape, len(train.classes), (seed, part.seed), device)
    except NetworkError as error:
        raise RecipeError(f"networks.{name}: {error}") from None
    made.int8 = part.int8
    if part.checkpoint:
        try:
            made.weights = load(part.checkpoint, made.network, made.weights)
        except UserError as error:
            raise RecipeError(f"networks.{name}.checkpoint: {error}") from None
    return made


def stage_of(part: StagePart, where: str, members: Members, sources: Sources, seed: int) -> Stage:
    """A stage with its items."""
    taught: Data = sources.train
    if part.items == "set" and sources.set is not None:
        taught = sources.set
    elif part.bootstrap is not None:
        size = part.train or len(sources.train)
        picks = torch.randint(size, (size,), generator=stream("bootstrap", part.bootstrap, seed))
        taught = sources.train.select(picks)
    elif part.train:
        taught = sources.train.select(torch.arange(min(part.train, len(sources.train))))
    return Stage(part, where, members, taught, len(sources.train.classes), seed, sources.target)


def legs(part: StagePart, members: Members, sources: Sources) -> list[StagePart]:
    """A stage as it is; or one stage per anchor of its route, the epochs shared out."""
    if part.route is None:
        return [part]
    names = [name for name in members if name.startswith(f"{part.route}@")]
    chosen = spaced(names, members, sources.train, part.gap) if part.gap else names
    each = max(1, part.epochs // len(chosen))
    epochs = [each] * (len(chosen) - 1) + [max(1, part.epochs - each * (len(chosen) - 1))]
    return [
        replace(part, route=None, epochs=e, turns={
            learner: [replace(p, teacher=anchor) if p.teacher == part.route else p for p in parts]
            for learner, parts in part.turns.items()
        })
        for anchor, e in zip(chosen, epochs, strict=True)
    ]  # fmt: skip


def spaced(names: list[str], members: Members, train: Dataset, gap: float) -> list[str]:
    """Anchors at least so far apart, the last always among them (greedy: Jin et al. 2019, section 3.4).

    The distance of two is the mean KL of the later one's answer from the earlier one's, on 1,000 items.
    """
    few = train.select(torch.arange(min(1000, len(train))))
    told = {name: F.log_softmax(answers(members[name], few), dim=1) for name in names}
    chosen = [names[0]]
    for name in names[1:]:
        far = float(F.kl_div(told[chosen[-1]], told[name], log_target=True, reduction="batchmean"))
        if far >= gap or name == names[-1]:
            chosen.append(name)
    return chosen
