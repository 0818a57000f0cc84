"""Where a run starts: initial weights by what they are for, and the synthetic set."""

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch.nn.functional as F
from torch import Tensor

from distill.data.classes import match_classes
from distill.data.dataset import Dataset
from distill.errors import UserError
from distill.inner import INNER_LOSSES
from distill.inner.attention import start_attention
from distill.inner.losses import loss_name
from distill.inner.problem import Problem
from distill.kd.network_files import load_weights
from distill.methods import METHODS
from distill.methods.base import Method
from distill.networks.initial import draw_weights
from distill.outer import RATE_PROFILES, STARTS
from distill.outer.parametrisations.base import build_parametrisation
from distill.outer.rate_profiles import shape_rates
from distill.outer.starts import (
    assign_classes,
    continue_from,
    start_from_clusters,
    start_labels,
    start_lrs,
)
from distill.outer.synthetic import Synthetic, cyclic_schedule, inverse_softplus
from distill.randomness import stream
from distill.registry import find, load
from distill.runs.settings import Settings
from distill.runs.settings.situation import parametrisation_of
from distill.sets.distilled import DistilledSet

Weights = dict[str, Tensor]
SOFT, SQUARED = "soft-cross-entropy", "squared-error"
SOFTMAX_SCALE = 2.0  # of a regression's labels: dc gave 93 % at 2, 92 % at 5, 85 % at 10, 78 % with hard ones
REGRESSION_SCALE = 10.0  # of a regression's labels: a random last layer answers as loudly as one-hot ones


class InitialWeights(NamedTuple):
    """Initial weights by what they are for."""

    training: list[Weights]  # of the outer steps in turn; empty where each step draws its own
    validation: list[Weights]  # choose between candidates; where random, never reported
    exported: list[Weights]  # the file carries them for students; empty where students draw their own


def initial_weights(settings: Settings, problem: Problem) -> InitialWeights:
    """The known weights, or others that train the set, choose and measure. Raises UserError."""
    fixed, count = settings.network.init == "fixed", settings.network.fixed_networks
    tests = settings.measure.test_networks
    last = tests + settings.measure.validation_networks
    if settings.network.weights:
        loaded = load_networks(settings, problem, count if fixed else last + 1)
        if fixed:
            return known_weights(loaded[:count])
        return InitialWeights(loaded[last:], loaded[tests:last], loaded[:tests])
    if fixed:
        return known_weights(draw_initial(settings, problem, "fixed", count))
    return unseen_weights(settings, problem)


def known_weights(weights: list[Weights]) -> InitialWeights:
    """Weights that a fixed set serves."""
    return InitialWeights(weights, weights, weights)


def unseen_weights(settings: Settings, problem: Problem) -> InitialWeights:
    """Each outer step draws its own weights; others, never reported, choose what is exported."""
    count = settings.measure.validation_networks
    return InitialWeights([], draw_initial(settings, problem, "validation", count), [])


def draw_initial(settings: Settings, problem: Problem, purpose: str, count: int) -> list[Weights]:
    """So many new initialisations, drawn for a purpose."""
    weight_init, seed = settings.network.weight_init, settings.run.seed
    draws = (draw_weights(problem.network, stream(purpose, seed, k), weight_init) for k in range(count))
    return [{name: w.to(settings.run.device) for name, w in draw.items()} for draw in draws]


def load_networks(settings: Settings, problem: Problem, least: int) -> list[Weights]:
    """The networks of --weights, in the order of their files' names. Raises UserError."""
    path = Path(str(settings.network.weights))
    files = sorted(path.glob("*.pt")) if path.is_dir() else [path]
    if len(files) < least:
        raise UserError(
            f"--weights {path} holds {len(files)} networks (*.pt), and {least} are needed: --fixed-networks"
            " known ones, or, where random, --test-networks that measure, --validation-networks that choose,"
            " and one that trains the set"
        )
    like = draw_initial(settings, problem, "fixed", 1)[0]
    return [load_weights(str(file), problem.network, like) for file in files]


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
        if settings.data.labels == "softmax" and loss_name(problem.inner_loss) == SOFT:
            saved = with_shares(saved)
        check_labels(settings, saved, problem)
        synthetic = continue_from_set(settings.outer.start, saved, synthetic, data)
        synthetic = continue_rates(saved, synthetic)
        if synthetic.softmax_scale:
            synthetic = replace(synthetic, softmax_scale=saved.inner.get("softmax_scale"))
    return to_device(synthetic, settings.run.device)


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


def inner_loss_word(settings: Settings, saved: DistilledSet | None = None) -> str:
    """The inner loss of a run: that of its method, else of the set it starts from, else of soft labels.

    saved: the set to go on from, where it is not read from a file.
    """
    outer = settings.outer
    word = outer.method_options.get("inner_loss") or find(METHODS, "method", outer.method).inner_loss
    if word is None and outer.start.endswith(".pt"):
        word = (saved or DistilledSet.load(outer.start)).inner["loss"]
    return str(word) if word in INNER_LOSSES else SOFT


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


def check_labels(settings: Settings, saved: DistilledSet, problem: Problem) -> None:
    """Raise UserError where a saved set's labels are those of another inner loss, map or scale."""
    path, loss, saved_loss = settings.outer.start, loss_name(problem.inner_loss), saved.inner["loss"]
    if loss != saved_loss and {loss, saved_loss} <= INNER_LOSSES.keys():
        raise UserError(
            f"--start {path} holds labels of the inner loss {saved_loss}, which mean nothing to this run's"
            f" {loss}: leave the inner loss out, or start from another set"
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
    return replace(saved, labels=(scale * saved.labels).softmax(dim=1), inner={**saved.inner, "loss": SOFT})


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


def continue_from_set(path: str, saved: DistilledSet, synthetic: Synthetic, data: Dataset) -> Synthetic:
    """The synthetic set as a saved one ended. Raises UserError where that is of another kind."""
    expected = describe_kind(synthetic.items, data.text_metadata(synthetic.items), data.zca)
    description = describe_kind(saved.items, saved.text, saved.source.get("zca"))
    if description != expected:
        raise UserError(f"--start {path} holds {description}; this run learns {expected}")
    places = match_classes(data.classes, saved.source["classes"], data.name, f"--start {path}")
    return continue_from(synthetic, saved.items, saved.labels[:, places], saved.lrs)


def describe_kind(items: Tensor, text: dict[str, Any] | None, zca: dict[str, Tensor] | None) -> str:
    """What a set's items are, in words that two sets share only if one can continue the other."""
    white = "whitened " if zca else ""
    vectors = f" of the vectors {str(text.get('checksum'))[:12]}" if text else ""
    return f"{white}items {tuple(items.shape)}{vectors}"
