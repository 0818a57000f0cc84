"""What the synthetic items, labels and learning rates are before the first outer step.

The table of starts is STARTS in distill.outer: each is start(data, classes, generator) -> items (n, *item),
where classes lists the class that each item stands for.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from distill.data.clusters import find_nearest, fit_k_means
from distill.data.dataset import Dataset
from distill.errors import UserError
from distill.outer.synthetic import Synthetic, inverse_softplus

AVERAGED = 500  # real items of a class that its means are made of


def assign_classes(n: int, classes: int) -> list[list[int]]:
    """The classes that each of n items starts as: round-robin; several per item where n < classes."""
    if n >= classes:
        return [[i % classes] for i in range(n)]
    return [list(range(i, classes, n)) for i in range(n)]


def start_labels(n: int, classes: int, label_map: str) -> Float[Tensor, "{n} {classes}"]:
    """Equal mass on the classes of assign_classes; logits of it under a softmax."""
    labels = torch.zeros(n, classes)
    for row, assigned in zip(labels, assign_classes(n, classes), strict=True):
        row[assigned] = 1 / len(assigned)
    if label_map == "hard":
        return F.one_hot(labels.argmax(dim=1), classes).float()
    return 4 * labels / labels.amax(dim=1, keepdim=True) if label_map == "softmax" else labels


def start_lrs(lr: float, steps: int, tensors: int | None, end: float = 1.0) -> Float[Tensor, "{steps} *g"]:
    """The softplus inverse of lr: (steps,), or (steps, tensors) for a rate per parameter tensor.

    From lr the rates fall by half a cosine to end · lr.
    """
    if end != 1:
        falling = (1 + torch.linspace(0, torch.pi, steps, dtype=torch.float64).cos()) / 2
        raw = inverse_softplus(lr * (end + (1 - end) * falling))
        return raw if tensors is None else raw[:, None].repeat(1, tensors)
    raw = inverse_softplus(torch.tensor(lr, dtype=torch.float64))
    return raw.expand(steps).clone() if tensors is None else raw.expand(steps, tensors).clone()


def start_from_noise(data: Dataset, classes: Sequence[int], generator: torch.Generator) -> Tensor:
    """Noise of the spread of real items."""
    return data.draw_noise(len(classes), generator)


def start_from_real(data: Dataset, classes: Sequence[int], generator: torch.Generator) -> Tensor:
    """For each item a random real one of its class, none twice. Raises UserError where a class has none."""
    return data.initial_items(data.draw_items(classes, generator))


def start_from_means(data: Dataset, classes: Sequence[int], generator: torch.Generator) -> Tensor:
    """For each item the mean of its class, or a centre of k-means where a class has k items; and noise."""
    items = 0.1 * data.draw_noise(len(classes), generator)
    for label in sorted(set(classes)):
        places = torch.tensor([i for i, assigned in enumerate(classes) if assigned == label])
        averaged = find_class(data, label)[: max(AVERAGED, len(places))]  # as many items as centres
        items[places] += fit_k_means(data.initial_items(averaged), len(places), generator)
    return items


def start_from_clusters(
    data: Dataset, n: int, generator: torch.Generator
) -> tuple[Float[Tensor, "n *item"], Float[Tensor, "n classes"]]:
    """Centres of k-means over all items with some noise, and the shares of the classes near each.

    For fewer items than classes: items that look alike share one, as 4, 7 and 9 do.
    """
    picks = torch.randperm(len(data), generator=generator)[: AVERAGED * len(data.classes)]
    picks = picks.to(data.labels.device)
    items, classes = data.initial_items(picks), F.one_hot(data.labels[picks], len(data.classes)).float()
    centres = fit_k_means(items, n, generator)
    nearest = find_nearest(items, centres)
    shares = torch.stack([classes[nearest == i].sum(dim=0) for i in range(n)])
    shares = shares / shares.sum(dim=1, keepdim=True).clamp(min=1)
    return centres + 0.1 * data.draw_noise(n, generator), shares


def find_class(data: Dataset, label: int) -> Tensor:
    """The indices of a class's items. Raises UserError where it has none."""
    indices = data.class_indices(label)
    if len(indices) == 0:
        raise UserError(f'{data.name} has no training item of class "{data.classes[label]}"')
    return indices


def continue_from(synthetic: Synthetic, items: Tensor, labels: Tensor, lrs: Tensor) -> Synthetic:
    """The set-up with a saved set's items, its labels if they are learned, its learning rates if they fit."""
    synthetic, tensors = synthetic.encode(items), dict[str, Tensor]()
    if synthetic.label_map != "hard":
        labels = labels.unflatten(0, (-1, synthetic.label_rows)).mean(dim=0)  # of items that share one
        soft = labels / synthetic.label_scale
        tensors["labels"] = soft if synthetic.label_map == "soft" else labels.clamp(min=1e-4).log()
    if lrs.shape == synthetic.raw_lrs.shape and (lrs > 0).all():
        tensors["lrs"] = inverse_softplus(lrs)
    return synthetic.replace_tensors(tensors)
