"""What else so few items could be: random, centres, or picked by what a trained network sees in them."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from distill.data.dataset import Dataset
from distill.sets.distilled import DistilledSet
from distill.student.baselines import Draw, baseline, k_means, one_hot, random_real, turns
from distill.student.training import Student, network_of, problem_of, starts


def herding(seen: Float[Tensor, "m f"], k: int) -> Int[Tensor, " k"]:
    """Greedily the items whose mean follows the mean of all (Welling 2009; Rebuffi et al. 2017, eq. 4)."""
    target, total, picks = seen.mean(dim=0), torch.zeros_like(seen[0]), []
    free = torch.ones(len(seen), dtype=torch.bool, device=seen.device)
    for j in range(1, k + 1):
        distance = (target - (total + seen) / j).norm(dim=1)
        picks.append(distance.where(free, torch.inf).argmin())
        total, free[picks[-1]] = total + seen[picks[-1]], False
    return torch.stack(picks)


def k_center(seen: Float[Tensor, "m f"], k: int) -> Int[Tensor, " k"]:
    """From the one nearest to the mean, always the farthest from all chosen (Sener and Savarese 2018)."""
    picks = [(seen - seen.mean(dim=0)).norm(dim=1).argmin()]
    nearest = torch.full((len(seen),), torch.inf, device=seen.device)
    for _ in range(k - 1):
        nearest = torch.minimum(nearest, (seen - seen[picks[-1]]).norm(dim=1))
        picks.append(nearest.argmax())
    return torch.stack(picks)


PICKS = {"herding": herding, "k-center": k_center}


def selected(pick: str, data: DistilledSet, train: Dataset, teacher: Student, most: int = 2000) -> Draw:
    """As many real items as the set has, the classes in turn, picked by a teacher's features."""

    def draw(generator: torch.Generator) -> tuple[Tensor, Tensor]:
        labels = turns(data, train, generator)
        items = torch.empty_like(data.items)
        for label in labels.unique().tolist():
            own = train.class_indices(label)
            own = own[torch.randperm(len(own), generator=generator)[:most].to(own.device)]
            places = torch.nonzero(labels == label).flatten()
            x = train.initial_items(own)
            items[places.to(items.device)] = x[PICKS[pick](teacher.features(x), len(places))]
        return items, one_hot(labels, data)

    return draw


def relabelled(draw: Draw, teacher: Student) -> Draw:
    """The same items with the teacher's probabilities for labels."""

    def taught(generator: torch.Generator) -> tuple[Tensor, Tensor]:
        items, labels = draw(generator)
        return items, teacher.logits(items).softmax(dim=1).to(labels)

    return taught


def rivals(data: DistilledSet, train: Dataset, teacher: Student) -> dict[str, Draw]:
    """The set itself, and real items by name: each with hard labels and with the teacher's."""
    real = {"random real": random_real(data, train), "k-means centres": k_means(data, train)}
    real |= {name: selected(name, data, train, teacher) for name in PICKS}
    taught = {f"{name}, teacher labels": relabelled(draw, teacher) for name, draw in real.items()}
    return {"distilled": lambda _: (data.items, data.labels), **real, **taught}


def scored(
    data: DistilledSet, held_out: Dataset, test: Dataset, network: str, name: str, draw: Draw, seeds: int
) -> tuple[list[float], str]:
    """Test accuracies of a network on drawn items, and at which rates; its weights are new ones.

    The set's own network starts from the set's own weights, where it has some.
    """
    module = network_of(data, network)
    init = data.network["init"] if network == data.network["name"] else "random"
    weights = starts(data, module, init, seeds)
    return baseline(name, draw, data, problem_of(data, module), held_out, test, weights, seeds)
