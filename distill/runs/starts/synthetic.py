"""The synthetic set before the first outer step: new, or as a saved set ended."""

from dataclasses import replace
from typing import Any

from torch import Tensor

from distill.data.dataset import Dataset
from distill.errors import UserError
from distill.inner.attention import start_attention
from distill.inner.losses import loss_name
from distill.inner.problem import Problem
from distill.methods.base import Method
from distill.outer import RATE_PROFILES, STARTS
from distill.outer.parametrisations.base import build_parametrisation
from distill.outer.rate_profiles import shape_rates
from distill.outer.starts import assign_classes, start_from_clusters, start_labels, start_lrs
from distill.outer.synthetic import Synthetic, cyclic_schedule
from distill.randomness import stream
from distill.registry import find, load
from distill.runs.settings import Settings
from distill.runs.settings.situation import parametrisation_of
from distill.runs.starts.continuation import (
    SOFT,
    SQUARED,
    check_labels,
    continue_from_set,
    continue_rates,
    with_label_scale,
    with_loss,
    with_shares,
)
from distill.sets.distilled import DistilledSet

SOFTMAX_SCALE = 2.0  # of a regression's labels: dc gave 93 % at 2, 92 % at 5, 85 % at 10, 78 % with hard ones
REGRESSION_SCALE = 10.0  # of a regression's labels: a random last layer answers as loudly as one-hot ones


def build_synthetic(
    settings: Settings, problem: Problem, method: Method, data: Dataset, saved: DistilledSet | None = None
) -> Synthetic:
    """The synthetic set before the first outer step. Raises UserError where the method cannot take it.

    saved: the set to go on from, where it is not read from the file of settings.outer.start.
    """
    n, classes, inner = settings.data.n, len(data.classes), settings.inner
    outer = settings.outer
    stored = build_parametrisation(*parametrisation_of(settings)).fit(n, data.shape, classes)
    m = n * stored.items_per_stored
    rows = m // stored.items_per_label
    check_method(method, outer.method, rows, classes, settings.data.labels, outer.fixed_items)
    method.check_steps(inner.inner_steps)
    if method.merged_steps(0) > 1 and inner.batch != m:
        raise UserError(
            f"--step-doublings merges steps that take all {m} items, not {inner.batch}: leave out --batch"
        )
    tensors = len(problem.names) if inner.lr_per == "tensor" else None
    items, labels = start_items_and_labels(settings, method, data, m, rows)
    lrs = start_lrs(inner.lr, inner.inner_steps, tensors, method.lr_end_for(problem))
    synthetic = Synthetic(
        items,
        scale_labels(labels, settings, problem, method),
        shape_rates(lrs, load(RATE_PROFILES[inner.lr_profile]), inner.lr_profile),
        cyclic_schedule(m, inner.batch, inner.inner_steps),
        settings.data.labels,
        method.label_scale_for(problem),
        {**method.learned_tensors(), **start_attention(problem, items)},
        scale_softmax(settings, problem, method),
        settings.outer.fixed_items,
        stored,
    ).encode(items)
    if settings.outer.start.endswith(".pt"):
        saved = saved or DistilledSet.load(settings.outer.start)
        synthetic = continue_saved(settings, problem, method, data, synthetic, saved)
    return to_device(synthetic, settings.run.device)


def continue_saved(
    settings: Settings, problem: Problem, method: Method, data: Dataset, synthetic: Synthetic,
    saved: DistilledSet,
) -> Synthetic:  # fmt: skip
    """The synthetic set as a saved one ended, with labels and rates for this run's loss. Raises UserError."""
    start, loss, labels = settings.outer.start, loss_name(problem.inner_loss), settings.data.labels
    if labels == "softmax" and loss == SOFT:
        saved = with_shares(saved)
    elif labels == "hard":
        saved = with_loss(saved, loss)
    check_labels(settings, saved, problem)
    if method.regresses:
        saved = with_label_scale(saved, synthetic.softmax_scale)
    by_class = method.needs_every_class or labels == "hard"
    synthetic = continue_from_set(start, saved, synthetic, data, problem, by_class)
    synthetic = continue_rates(saved, synthetic)
    if synthetic.softmax_scale and labels != "hard":
        synthetic = replace(synthetic, softmax_scale=saved.inner.get("softmax_scale"))
    return synthetic


def start_items_and_labels(
    settings: Settings, method: Method, data: Dataset, n: int, rows: int
) -> tuple[Tensor, Tensor]:
    """The items (n, *item) and their labels (n, classes); labels of a regression are centred.

    rows: how many labels are learned; the items from there on share them.
    """
    start, classes = settings.outer.start, len(data.classes)
    if method.regresses and start == "means" and n == rows < classes:
        items, labels = start_from_clusters(data, n, stream("start", settings.run.seed))
        return items, labels - 1 / classes
    labels = start_labels(rows, classes, settings.data.labels).repeat(n // rows, 1)
    return start_items(start, n, settings.run.seed, data, rows), labels - method.regresses / classes


def check_method(
    method: Method, word: str, n: int, classes: int, labels: str = "soft", fixed_items: bool = False
) -> None:
    """Raise UserError where a method needs an item of every class, or cannot learn labels of this kind."""
    if method.needs_every_class and n < classes:
        raise UserError(
            f"--method {word} compares class by class: --n {n} is below the {classes} classes;"
            " use --method unroll or frepo"
        )
    if method.regresses and labels == "softmax":
        raise UserError(f"--labels softmax: --method {word} regresses on signed labels: use soft or hard")
    if method.needs_shares and labels == "soft":
        raise UserError(
            f"--labels soft: --method {word} trains for long, and signed labels leave its loss without a"
            " lower bound: use softmax or hard"
        )
    if fixed_items and (labels == "hard" or not method.learns_labels):
        raise UserError(
            f"--fixed-items with --method {word} and --labels {labels} leaves nothing to learn: use another"
            " method, or labels that are learned"
        )


def scale_labels(labels: Tensor, settings: Settings, problem: Problem, method: Method) -> Tensor:
    """Labels (n, classes) at the start as the inner loss takes them: for a squared error they have mean 0.

    Raises UserError where they are given a scale and are shares or classes, which have none.
    """
    if method.start_scale and settings.data.labels != "soft":
        raise UserError(
            f"--start-scale is for labels without bounds, not --labels {settings.data.labels}: give --labels"
            " soft, or leave it out"
        )
    scale = None if method.regresses else regression_scale(settings, problem, method)
    if scale is None:
        return (method.start_scale or 1.0) * labels
    return scale * (labels - labels.mean(dim=1, keepdim=True))


def regression_scale(settings: Settings, problem: Problem, method: Method) -> float | None:
    """How many times the labels of a regression are one-hot less its mean; None where labels are shares."""
    if method.regresses:
        return method.label_scale_for(problem)
    is_random, word = settings.network.init == "random", loss_name(problem.inner_loss)
    scale = method.start_scale or (REGRESSION_SCALE if is_random else None)
    return scale if word == SQUARED and settings.data.labels != "softmax" else None


def scale_softmax(settings: Settings, problem: Problem, method: Method) -> float | None:
    """The factor by which labels of a regression are logits of shares; None where they are shares."""
    scale = regression_scale(settings, problem, method)
    return SOFTMAX_SCALE / scale if scale else None


def to_device(synthetic: Synthetic, device: str) -> Synthetic:
    """The synthetic set with its tensors on a device."""
    names, parts = ("items", "labels", "raw_lrs", "schedule"), ("extra", "codes")
    changes: Any = {name: getattr(synthetic, name).to(device) for name in names}
    changes |= {part: {k: t.to(device) for k, t in getattr(synthetic, part).items()} for part in parts}
    return replace(synthetic, **changes)


def start_items(word: str, n: int, seed: int, data: Dataset, rows: int | None = None) -> Tensor:
    """(n, *item) by the start of this word; noise where a saved set is put in its place.

    rows: after how many items their classes come round again, where they share labels.
    """
    rows = rows or n
    classes = n // rows * [first for first, *_ in assign_classes(rows, len(data.classes))]
    start = find(STARTS, "start", "noise" if word.endswith(".pt") else word)
    items: Tensor = start(data, classes, stream("start", seed))
    return items
