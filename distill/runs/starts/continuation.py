"""Where a run goes on from a saved set: what of it is carried over, and what is refused."""

import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from distill.data.classes import match_classes
from distill.data.dataset import Dataset
from distill.data.whiten import is_prepared, renormalise, units_of
from distill.errors import UserError
from distill.inner import INNER_LOSSES
from distill.inner.attention import ATTENTION, LEAST, start_attention
from distill.inner.losses import loss_name
from distill.inner.problem import Problem
from distill.methods import METHODS
from distill.outer.starts import continue_from
from distill.outer.synthetic import Synthetic, inverse_softplus
from distill.registry import find
from distill.runs.settings import Settings
from distill.sets.distilled import DistilledSet

SOFT, SQUARED = "soft-cross-entropy", "squared-error"


def inner_loss_word(settings: Settings, saved: DistilledSet | None = None) -> str:
    """The inner loss of a run: that of its method, else of the set it starts from, else of soft labels.

    saved: the set to go on from, where it is not read from a file.
    """
    outer = settings.outer
    word = outer.method_options.get("inner_loss") or find(METHODS, "method", outer.method).inner_loss
    if word is None and outer.start.endswith(".pt"):
        word = (saved or DistilledSet.load(outer.start)).inner["loss"]
    return str(word) if word in INNER_LOSSES else SOFT


def check_labels(settings: Settings, saved: DistilledSet, problem: Problem) -> None:
    """Raise UserError where a saved set's labels are those of another inner loss, map or scale.

    Of hard labels a run takes the classes alone, whatever they were learned for.
    """
    if settings.data.labels == "hard":
        return
    path, loss, saved_loss = settings.outer.start, loss_name(problem.inner_loss), saved.inner["loss"]
    mend = "leave the inner loss out, or " if settings.outer.method_options.get("inner_loss") else ""
    if loss != saved_loss and {loss, saved_loss} <= INNER_LOSSES.keys():
        raise UserError(
            f"--start {path} holds labels of the inner loss {saved_loss}, which mean nothing to this run's"
            f" {loss}: {mend}start from another set"
        )
    if loss == SQUARED == saved_loss and settings.data.labels == "softmax":
        raise UserError(
            f"--start {path} holds labels of a regression, which are no logits: use --labels soft or hard"
        )
    if "start_scale" in settings.outer.method_options:
        raise UserError(f"--start-scale has no effect on the labels of --start {path}: leave it out")


def with_shares(saved: DistilledSet) -> DistilledSet:
    """A regression's set that says which shares its labels stand for, with those for labels."""
    scale = saved.inner.get("softmax_scale")
    if saved.inner["loss"] != SQUARED or scale is None:
        return saved
    return with_loss(replace(saved, labels=(scale * saved.labels).softmax(dim=1)), SOFT)


def with_loss(saved: DistilledSet, loss: str) -> DistilledSet:
    """A set for labels of this inner loss, without its learning rates where they are for another one's."""
    if saved.inner["loss"] == loss:
        return saved
    return replace(saved, inner={**saved.inner, "loss": loss}, lrs=torch.zeros_like(saved.lrs))


def with_label_scale(saved: DistilledSet, softmax_scale: float | None) -> DistilledSet:
    """A regression's set with labels of this run's scale, which stand for the same shares as before."""
    old = saved.inner.get("softmax_scale")
    if saved.inner["loss"] != SQUARED or not old or not softmax_scale or old == softmax_scale:
        return saved
    inner = {**saved.inner, "softmax_scale": softmax_scale}
    return replace(saved, labels=old / softmax_scale * saved.labels, inner=inner)


def continue_rates(saved: DistilledSet, synthetic: Synthetic) -> Synthetic:
    """With a regression's learning rates, stretched over the steps where their number is another.

    Its labels are some ten times as large as shares, so that the usual first rate would be too high.
    """
    if saved.inner["loss"] != SQUARED or saved.lrs.shape == synthetic.raw_lrs.shape:
        return synthetic
    lrs = saved.lrs.flatten(1).mean(dim=1) if saved.lrs.ndim > 1 else saved.lrs
    steps = len(synthetic.schedule)
    lrs = F.interpolate(lrs.view(1, 1, -1), steps, mode="linear", align_corners=True).clamp(min=1e-8)
    raw = inverse_softplus(lrs).view(steps, *[1] * (synthetic.raw_lrs.ndim - 1))
    return replace(synthetic, raw_lrs=raw.expand_as(synthetic.raw_lrs).clone())


def continue_from_set(
    path: str,
    saved: DistilledSet,
    synthetic: Synthetic,
    data: Dataset,
    problem: Problem,
    by_class: bool = False,
) -> Synthetic:
    """The synthetic set as a saved one ended. Raises UserError where that is of another kind.

    by_class: the class of an item is that of its place, so that saved items take the places of their classes.
    """
    expected = describe_kind(synthetic.items, data.text_metadata(synthetic.items), data.zca)
    description = describe_kind(saved.items, saved.text, saved.source.get("zca"))
    if description != expected:
        raise UserError(f"--start {path} holds {description}; this run learns {expected}")
    places = match_classes(data.classes, saved.source["classes"], data.name, f"--start {path}")
    if differ_in_preparation(saved, data):
        print(
            f"--start {path}: its items are taken as they are, since they or this run's data, and not both,"
            " are floats that were prepared before: look whether both have one scale",
            file=sys.stderr,
        )
    items, labels = renormalise(saved.items, saved.source, data), saved.labels[:, places]
    attention = saved.attention
    if by_class:
        order = order_by_class(path, labels, synthetic.labels.argmax(dim=1), data.classes)
        items, labels = items[order], labels[order]
        attention = None if attention is None else attention[order]
    synthetic = continue_from(synthetic, items, labels, saved.lrs)
    return continue_attention(synthetic, attention, problem)


def continue_attention(synthetic: Synthetic, attention: Tensor | None, problem: Problem) -> Synthetic:
    """With a saved set's attention labels, in the order of the items; else where the network looks in these.

    As it was, where the run learns none.
    """
    if ATTENTION not in synthetic.extra:
        return synthetic
    if attention is None:
        learned = start_attention(problem, synthetic.items)
    else:
        learned = {ATTENTION: attention.clamp(min=LEAST).log()}
    return replace(synthetic, extra={**synthetic.extra, **learned})


def differ_in_preparation(saved: DistilledSet, data: Dataset) -> bool:
    """Whether images are floats that a user has prepared in a set, and not in the data, or the reverse."""
    is_image = saved.items.ndim == 4 and "mean" in saved.source
    return is_image and is_prepared(saved.source) != is_prepared(units_of(data))


def order_by_class(path: str, labels: Tensor, places: Tensor, classes: Sequence[str]) -> Tensor:
    """Which saved item takes each place: one of the place's class, in the order in which they were saved.

    labels (n, classes) of the saved items; places (n,): the class that each place stands for. Raises
    UserError where labels are class numbers, and a class has more or fewer items than places.
    """
    needed = torch.bincount(places, minlength=len(classes)).tolist()
    assigned = assign_by_labels(labels, needed)
    if is_one_hot(labels) and not torch.equal(assigned, labels.argmax(dim=1)):
        counts = torch.bincount(labels.argmax(dim=1), minlength=len(classes)).tolist()
        word, count, need = next(t for t in zip(classes, counts, needed, strict=True) if t[1] != t[2])
        raise UserError(
            f'--start {path} has {count} of its items in class "{word}" and this run {need}: give a set with'
            " that many of each class, or learn soft labels by --method unroll, frepo or rcig"
        )
    order = torch.empty_like(places)
    order[places.argsort(stable=True)] = assigned.argsort(stable=True)
    return order


def is_one_hot(labels: Tensor) -> bool:
    """Whether labels (n, classes) are class numbers, as those of a regression are but for shift and scale."""
    scaled = (labels - labels.min()) / (labels.max() - labels.min())
    return torch.allclose(scaled, F.one_hot(labels.argmax(dim=1), labels.shape[1]).to(labels), atol=1e-5)


def assign_by_labels(labels: Tensor, needed: Sequence[int]) -> Tensor:
    """A class for each item (n,), of each class so many: those with its highest labels, its own first."""
    highest, assigned = labels.argmax(dim=1), torch.full_like(labels[:, 0], -1, dtype=torch.long)
    for own in (True, False):
        for label, need in enumerate(needed):
            is_free = (assigned < 0) & ((highest == label) | (not own))
            free = is_free.nonzero().flatten()
            best = labels[free, label].argsort(descending=True, stable=True)
            assigned[free[best[: need - int((assigned == label).sum())]]] = label
    return assigned


def describe_kind(items: Tensor, text: dict[str, Any] | None, zca: dict[str, Tensor] | None) -> str:
    """What a set's items are, in words that two sets share only if one can continue the other."""
    white = "whitened " if zca else ""
    vectors = f" of the vectors {str(text.get('checksum'))[:12]}" if text else ""
    return f"{white}items {tuple(items.shape)}{vectors}"
