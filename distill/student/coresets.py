"""Coresets: as many real items as a distilled set has. The room's table CORESETS names them.

Each is called as coreset(data, train, teacher) and returns a Draw; the teacher is a network trained on the
real data, whose features choose.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from distill.data.clusters import fit_k_means
from distill.data.dataset import Dataset
from distill.sets.distilled import DistilledSet
from distill.student.training import Student

Draw = Callable[[torch.Generator], tuple[Tensor, Tensor]]  # as many items as the set has, labels (n, classes)
Pick = Callable[[Tensor, int], Tensor]  # features (m, f) and a count k -> the k items that are chosen


def random_real(data: DistilledSet, train: Dataset, teacher: Student | None = None) -> Draw:
    """Random real items, the classes in turn from a random one on."""

    def draw(generator: torch.Generator) -> tuple[Tensor, Tensor]:
        picks, labels = [], assign_classes(data, train, generator)
        for label in labels.tolist():
            members = train.class_indices(label)
            picks.append(members[torch.randint(len(members), (), generator=generator)])
        return train.batch(torch.stack(picks))[0], encode_one_hot(labels, data)

    return draw


def k_means(data: DistilledSet, train: Dataset, teacher: Student | None = None, most: int = 500) -> Draw:
    """Centres of k-means within each class, of at most `most` of its real items, the classes in turn."""
    return draw_by_class(data, train, lambda x, k, generator: fit_k_means(x, k, generator), most)


def herding(data: DistilledSet, train: Dataset, teacher: Student, most: int = 2000) -> Draw:
    """Real items chosen by pick_herding on the teacher's features, the classes in turn."""
    return draw_picked(data, train, teacher, pick_herding, most)


def k_center(data: DistilledSet, train: Dataset, teacher: Student, most: int = 2000) -> Draw:
    """Real items chosen by pick_k_center on the teacher's features, the classes in turn."""
    return draw_picked(data, train, teacher, pick_k_center, most)


def draw_picked(data: DistilledSet, train: Dataset, teacher: Student, pick: Pick, most: int) -> Draw:
    """Items that `pick` chooses within each class by the teacher's features."""
    return draw_by_class(data, train, lambda x, k, generator: x[pick(teacher.features(x), k)], most)


def draw_by_class(
    data: DistilledSet,
    train: Dataset,
    choose: Callable[[Tensor, int, torch.Generator], Tensor],
    most: int,
) -> Draw:
    """For each class, choose(x, k, generator) returns k items from at most `most` random real ones x."""

    def draw(generator: torch.Generator) -> tuple[Tensor, Tensor]:
        labels = assign_classes(data, train, generator)
        items = torch.empty_like(data.items)
        for label in labels.unique().tolist():
            members = train.class_indices(label)
            members = members[torch.randperm(len(members), generator=generator)[:most].to(members.device)]
            places = torch.nonzero(labels == label).flatten()
            items[places.to(items.device)] = choose(train.initial_items(members), len(places), generator)
        return items, encode_one_hot(labels, data)

    return draw


def pick_herding(features: Float[Tensor, "m f"], k: int) -> Int[Tensor, " k"]:
    """Greedily the items whose mean follows the mean of all (Welling 2009; Rebuffi et al. 2017, eq. 4)."""
    target, total, picks = features.mean(dim=0), torch.zeros_like(features[0]), []
    free = torch.ones(len(features), dtype=torch.bool, device=features.device)
    for j in range(1, k + 1):
        distance = (target - (total + features) / j).norm(dim=1)
        picks.append(distance.where(free, torch.inf).argmin())
        total, free[picks[-1]] = total + features[picks[-1]], False
    return torch.stack(picks)


def pick_k_center(features: Float[Tensor, "m f"], k: int) -> Int[Tensor, " k"]:
    """From the one nearest to the mean, always the farthest from all chosen (Sener and Savarese 2018)."""
    picks = [(features - features.mean(dim=0)).norm(dim=1).argmin()]
    nearest = torch.full((len(features),), torch.inf, device=features.device)
    for _ in range(k - 1):
        nearest = torch.minimum(nearest, (features - features[picks[-1]]).norm(dim=1))
        picks.append(nearest.argmax())
    return torch.stack(picks)


def label_by_teacher(draw: Draw, teacher: Student) -> Draw:
    """The same items with the teacher's probabilities as labels."""

    def draw_labelled(generator: torch.Generator) -> tuple[Tensor, Tensor]:
        items, labels = draw(generator)
        return items, teacher.logits(items).softmax(dim=1).to(labels)

    return draw_labelled


def assign_classes(data: DistilledSet, train: Dataset, generator: torch.Generator) -> Int[Tensor, " n"]:
    """A class for each of the set's items: all that have real items in turn, from a random one on."""
    classes = train.labels.unique().cpu()
    return classes[torch.randperm(len(classes), generator=generator)[torch.arange(len(data)) % len(classes)]]


def encode_one_hot(labels: Int[Tensor, " n"], data: DistilledSet) -> Float[Tensor, "n classes"]:
    """Class numbers as one-hot rows like the set's labels."""
    return torch.nn.functional.one_hot(labels, data.labels.shape[1]).to(data.labels)
