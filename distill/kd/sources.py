"""Sources: the data that a recipe's networks learn from and are measured on."""

import sys
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from distill.data import TEXT_SETS, dataset, images
from distill.data import embedding as text
from distill.data import texts as corpora
from distill.data.dataset import Dataset, renumber_classes
from distill.data.whiten import whiten
from distill.errors import DataError, UserError
from distill.kd.plugins.data import load_own_data
from distill.kd.plugins.files import is_plugin
from distill.kd.plugins.losses import find_loss
from distill.kd.recipe.parts import DataPart, RecipeError, StagePart, check_numbers
from distill.randomness import stream
from distill.sets.distilled import DistilledSet
from distill.sets.real_data import match_real_data
from distill.student.protocols.targets import CROSS_ENTROPY, choose_targets
from distill.student.training import Data

Splits = tuple[Dataset, Dataset]  # train and test


@dataclass(frozen=True)
class Sources:
    """What a recipe learns from and is measured on."""

    train: Dataset
    test: Dataset
    set: DistilledSet | None = None
    target: Dataset | None = None
    target_test: Dataset | None = None
    fine_labels: Tensor | None = None  # of the test items, before classes were put together
    validation: Dataset | None = None  # training items that no network learns from


def load_sources(part: DataPart, seed: int, device: str, real: Splits | None = None) -> Sources:
    """The data of a recipe; real are (train, test) in the place of those that it names. Raises UserError."""
    check_numbers(part, "data")
    distilled = DistilledSet.load(part.set, device) if part.set else None
    splits = real or load_real(part.name, part.dir, part.vectors, device, distilled)
    train, test = select_splits(part, seed, *splits)
    fine_labels = test.labels if part.merge else None
    if part.merge is not None:
        train, test = (merge_classes(split, part.merge) for split in (train, test))
    if distilled:
        print_targets(distilled)
        train, test = match_set(distilled, part, train, test)
    target, target_test = load_target(part, train, device) if part.target else (None, None)
    train, validation = hold_out(part, train)
    return Sources(train, test, distilled, target, target_test, fine_labels, validation)


def hold_out(part: DataPart, train: Dataset) -> tuple[Dataset, Dataset | None]:
    """(the items that networks learn from, those that measure each epoch). Raises RecipeError."""
    if not part.validation:
        return train, None
    rest, validation = train.split(round(part.validation * len(train)), stream("validation"))
    if not len(validation):
        raise RecipeError(
            f"data.validation: {part.validation:g} of {len(train)} training items leaves none to measure:"
            " raise it, or leave it out"
        )
    return rest, validation


def select_splits(part: DataPart, seed: int, train: Dataset, test: Dataset) -> Splits:
    """(train, test or held-out), in random order and at most as many as the recipe says. Raises UserError."""
    dataset.print_remarks(train)
    if part.score not in ("test", "held-out"):
        raise RecipeError(f'data.score must be test or held-out, not "{part.score}"')
    if part.score == "held-out":
        train, test = train.hold_out(len(train), stream("split", "student"))
    if not len(test):
        raise RecipeError(f"data.name: {part.name} has no test items: give it some, or data.score: held-out")
    train = shuffle(train, part.train, stream("items", seed))
    return train, shuffle(test, part.test, stream("items", "test"))


def load_real(
    name: str,
    folder: str | None,
    vectors: str | None,
    device: str,
    distilled: DistilledSet | None = None,
    where: str = "data.name",
) -> tuple[Dataset, Dataset]:
    """(train, test) of images, or of texts with their word vectors: those of a set of texts, if there is one.

    where is the key of the name, which may be that of a plugin. Raises UserError.
    """
    if is_plugin(name):
        return load_own_data(name, device, where)
    if name not in TEXT_SETS:
        size = distilled.source.get("size") if distilled else None
        return images.load(name, folder, device, size, keep="device")  # where they may be resized
    corpus = corpora.load_corpus(name, folder)
    if distilled and distilled.text:
        return text.embed_like_set(distilled.text, corpus, vectors, device)
    return text.embed_corpus(corpus, vectors or "bundled", device=device)


def match_set(distilled: DistilledSet, part: DataPart, train: Dataset, test: Dataset) -> list[Dataset]:
    """The real data as the students of a set see them. Raises RecipeError where they are others."""
    try:
        return match_real_data(distilled, train, test)
    except DataError as error:
        raise RecipeError(f"data.set: {part.set} does not go with data.name: {error}") from None


def load_target(part: DataPart, train: Dataset, device: str) -> tuple[Dataset, Dataset]:
    """(train, test or held-out) of the target domain, at the source's size, whitened as it is.

    Raises UserError.
    """
    splits = load_real(str(part.target), part.target_dir, None, device, where="data.target")
    target, target_test = (whiten_like(resize_like(split, train), train) for split in splits)
    try:
        target, target_test = renumber_classes([target, target_test], train.classes, train.name)
    except DataError as error:
        raise RecipeError(f"data.target: {error}") from None
    if part.score == "held-out":  # nothing is chosen by the target's test items either
        return target.hold_out(len(target), stream("split", "target"))
    return target, target_test


def shuffle(split: Dataset, most: int | None, generator: torch.Generator) -> Dataset:
    """A split in random order, at most so many of its items."""
    order = torch.randperm(len(split), generator=generator)
    return split.select(order[:most].to(split.labels.device))


def merge_classes(split: Dataset, groups: list[list[int]]) -> Dataset:
    """A split with classes put together. Raises RecipeError."""
    if fault := find_merge_fault(groups, len(split.classes)):
        raise RecipeError(
            f"data.merge must place each of the classes 0 … {len(split.classes) - 1} in one of two or more"
            f" groups: {fault}"
        )
    group_of = {label: k for k, group in enumerate(groups) for label in group}
    table = torch.tensor([group_of[label] for label in sorted(group_of)], device=split.labels.device)
    names = tuple("+".join(split.classes[label] for label in group) for group in groups)
    return replace(split, labels=table[split.labels], classes=names)


def find_merge_fault(groups: list[list[int]], classes: int) -> str:
    """What is wrong with groups of so many classes; "" where nothing is."""
    labels = [label for group in groups for label in group]
    wrong = [f"class {k} is in {labels.count(k)} places" for k in range(classes) if labels.count(k) != 1]
    wrong += [f"{label} is no class" for label in labels if not 0 <= label < classes]
    wrong += [f"group {k + 1} is empty" for k, group in enumerate(groups) if not group]
    wrong += [f"there is {len(groups)} group"] if len(groups) < 2 else []
    return wrong[0] if wrong else ""


def resize_like(split: Dataset, like: Dataset) -> Dataset:
    """A set of images at another's height and width. Raises RecipeError where they have other channels."""
    if split.items.ndim != 4 or split.shape[0] != like.shape[0]:
        raise RecipeError(f"data.target: {split.name} holds {split.shape}, not items like {like.shape}")
    return replace(split, items=dataset.resize_images(split.items, (like.shape[1], like.shape[2])))


def whiten_like(split: Dataset, like: Dataset) -> Dataset:
    """A set of images whitened as another is, by the other's mean and matrix; as it is, where that is not."""
    return split if like.zca is None or split.zca is not None else whiten(split, like.zca)


def choose_items(part: StagePart, sources: Sources, seed: int) -> Data:
    """The items that a stage trains on: the distilled set, or some or all of the real ones.

    Raises RecipeError for a set whose labels no loss of the stage can learn.
    """
    if part.items == "set" and sources.set is not None:
        return share_labels(sources.set, part)
    if part.bootstrap is not None:
        size = min(part.train or len(sources.train), len(sources.train))
        picks = torch.randint(size, (size,), generator=stream("bootstrap", part.bootstrap, seed))
        return sources.train.select(picks)
    if part.train:
        return sources.train.select(torch.arange(min(part.train, len(sources.train))))
    return sources.train


def share_labels(data: DistilledSet, part: StagePart) -> DistilledSet:
    """The set with the targets that protocols make of its labels for a cross-entropy, which bound it.

    Raises RecipeError where there are none and a loss of the stage needs labels.
    """
    try:
        return replace(data, labels=choose_targets(data, CROSS_ENTROPY).labels)
    except UserError:
        losses = [loss.loss for turn in part.turns.values() for loss in turn.losses]
        words = [word for word in losses if find_loss(word, "loss").labels]
        if not words:
            return data
    raise RecipeError(
        f"data.set: its labels are signed, for a loss of your own, {data.inner['loss']:.40}, and no targets"
        f" of {words[0]:.40} are known for them: give the set others in Python, by distill.kd.relabel(set,"
        " teacher), or leave the loss out"
    )


def print_targets(data: DistilledSet) -> None:
    """Write what stages with items of the set learn in the place of its labels to stderr, if anything."""
    try:
        remark = choose_targets(data, CROSS_ENTROPY).remark
    except UserError:  # a stage that needs labels is refused
        return
    if remark:
        print(f"data.set: {remark}", file=sys.stderr)


def count_items(part: StagePart, sources: Sources) -> int:
    """How many items an epoch of a stage has; a search trains on one half of them."""
    data = sources.set if part.items == "set" and sources.set is not None else sources.train
    count = len(data) if part.items == "set" else min(part.train or len(data), len(data))
    return -(-count // 2) if part.search else count


@dataclass(frozen=True)
class Subset:
    """Some items of a set."""

    data: Data
    indices: Tensor

    def __len__(self) -> int:
        return len(self.indices)

    def batch(self, indices: Tensor | slice) -> tuple[Tensor, Tensor]:
        return self.data.batch(self.indices[indices])


def halve(data: Data, generator: torch.Generator) -> tuple[Subset, Subset]:
    """Two random halves of a set."""
    first, second = torch.randperm(len(data), generator=generator).tensor_split(2)
    return Subset(data, first), Subset(data, second)
