"""What the synthetic items, labels and learning rates are before the first outer step."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from distill.data.clusters import fit_k_means
from distill.data.dataset import Dataset
from distill.errors import UserError
from distill.outer.synthetic import inverse_softplus
from distill.randomness import stream
from distill.runs.settings import Config


def class_plan(n: int, classes: int) -> list[list[int]]:
    """The classes that each of n items starts as: round-robin; several per item where n < classes."""
    if n >= classes:
        return [[i % classes] for i in range(n)]
    return [list(range(i, classes, n)) for i in range(n)]


def start_labels(n: int, classes: int, label_map: str) -> Float[Tensor, "{n} {classes}"]:
    """Equal mass on the classes of class_plan; logits of it under a softmax."""
    labels = torch.zeros(n, classes)
    for row, chosen in zip(labels, class_plan(n, classes), strict=True):
        row[chosen] = 1 / len(chosen)
    if label_map == "hard":
        return F.one_hot(labels.argmax(dim=1), classes).float()
    return 4 * labels / labels.amax(dim=1, keepdim=True) if label_map == "softmax" else labels


def start_rates(lr: float, steps: int, tensors: int | None) -> Float[Tensor, "{steps} *g"]:
    """The softplus inverse of lr, (steps,) or (steps, tensors)."""
    raw = inverse_softplus(torch.tensor(lr, dtype=torch.float64))
    return raw.expand(steps).clone() if tensors is None else raw.expand(steps, tensors).clone()


def start_items(config: Config, data: Dataset) -> Tensor:
    """(n, *item): noise, or for each item a real one of its first class, or a mean of that class."""
    generator = stream("start", config.seed)
    if config.start == "noise" or config.start.endswith(".pt"):
        return data.draw_noise(config.n, generator)
    plan = [first for first, *_ in class_plan(config.n, len(data.classes))]
    if config.start == "means":
        return means(data, plan, generator)
    owns = [of_class(data, label) for label in plan]
    return data.initial_items(
        torch.stack([own[torch.randint(len(own), (), generator=generator)] for own in owns])
    )


def means(data: Dataset, plan: list[int], generator: torch.Generator) -> Tensor:
    """For each item the mean of its class, or a centre of k-means where the class has k items; and noise."""
    items = 0.1 * data.draw_noise(len(plan), generator)
    for label in sorted(set(plan)):
        places = torch.tensor([i for i, own in enumerate(plan) if own == label])
        items[places] += fit_k_means(
            data.initial_items(of_class(data, label)[:AVERAGED]), len(places), generator
        )
    return items


AVERAGED = 500  # real items of a class in its means


def of_class(data: Dataset, label: int) -> Tensor:
    """The indices of a class's items. Raises UserError where it has none."""
    own = data.class_indices(label)
    if len(own) == 0:
        raise UserError(f'{data.name} has no training item of class "{data.classes[label]}"')
    return own
