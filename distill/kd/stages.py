"""Stages: the learners of a stage take their turns on its batches, and copies of them are kept on the way."""

from collections.abc import Generator, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import zip_longest
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.hooks import RemovableHandle

from distill.data.augment.batch import build_augmentation
from distill.kd.networks import prepare_learner
from distill.kd.state.stage import Tensors
from distill.kd.techniques.mixing import mix_batch, smooth_labels
from distill.kd.techniques.pruning import apply_masks, find_masks
from distill.kd.techniques.quantisation import apply_fake_quantisation, build_ranges
from distill.kd.techniques.route import list_anchors
from distill.kd.training.search import build_search
from distill.kd.training.stage import Stage as Stage
from distill.kd.training.turns import build_turns
from distill.randomness import stream
from distill.student.loop import Batch, draw_batches, fall_linearly, run_turns

SEARCH = "(search)"  # what the log calls a turn of no network: no network is called so


class StageRecord(NamedTuple):
    """The share of a stage that is done, the loss of each turn, and the epoch that has ended, if one has."""

    share: float
    losses: tuple[float, ...]
    epoch: int | None = None


def run_stage(stage: Stage) -> Generator[StageRecord, None, None]:
    """Train the stage's learners in place, one record per batch; stage.networks gains the anchors.

    A stage whose state was saved goes on from there. Whoever stops before the end closes the generator.
    """
    part, handles = stage.part, begin_learning(stage)
    stage, turns = build_search(stage) if part.search else (stage, build_turns(stage))
    turns = [replace(t, scheduler=t.scheduler or fall_linearly(t.optimiser, stage.total)) for t in turns]
    batches = build_batches(stage)
    stage.state.hold_turns(turns, list_tensors(stage))
    stage.state.restore()
    anchor_steps = [max(1, round(stage.total * (k + 1) / part.keep)) for k in range(part.keep)]
    try:
        for step, losses, rates in run_turns(turns, batches, stage.total, stage.state.step):
            for k in (k for k, kept in enumerate(anchor_steps, 1) if kept == step):
                keep_anchors(stage, k)
            count_losses(stage, losses, rates)
            stage.state.step = step
            yield StageRecord(step / stage.total, losses, find_epoch(stage, step))
    finally:
        end_learning(stage, handles)


def end_learning(stage: Stage, handles: Sequence[RemovableHandle]) -> None:
    """The learners as teachers: in eval mode, without gradients or hooks."""
    for handle in handles:
        handle.remove()
    for network in stage.learners.values():
        network.student.zero_grad()
        network.student.requires_grad_(False).eval()


def begin_learning(stage: Stage) -> list[RemovableHandle]:
    """Let the learners learn, where they are pruned or rounded until the handles are removed."""
    handles = list[RemovableHandle]()
    for name, network in stage.learners.items():
        prepare_learner(network, stage.part.turns[name].frozen or ())
        if stage.part.qat:
            ranges = build_ranges(network.module)
            stage.state.hold(f"ranges.{name}", Tensors(list(ranges.values())))
            handles += apply_fake_quantisation(network.module, ranges)
        if stage.part.prune:
            parameters = {n: w for n, w in network.module.named_parameters() if w.requires_grad}
            masks = stage.state.recall(f"masks.{name}", partial(find_masks, parameters, stage.part.prune))
            handles += apply_masks(parameters, {k: m.to(parameters[k].device) for k, m in masks.items()})
    return handles


def list_tensors(stage: Stage) -> list[Tensor]:
    """The parameters of the networks, which are saved with them."""
    return [p for network in stage.networks.values() for p in network.module.parameters()]


def count_losses(stage: Stage, losses: Sequence[float], rates: Sequence[float]) -> None:
    """Add a batch's losses and rates to the meters of the learners, and of a search."""
    for name, loss, rate in zip_longest(stage.part.turns, losses, rates, fillvalue=SEARCH):
        stage.state.meter(str(name)).add_batch(float(loss), float(rate))


def find_epoch(stage: Stage, step: int) -> int | None:
    """The epoch, from 1, that ends with a step; None within one."""
    epoch, inside = divmod(step, stage.total // stage.part.epochs)
    return None if inside else epoch


def keep_anchors(stage: Stage, k: int) -> None:
    """Add copies of the learners as they are now to the networks, as NAME@k.

    With the last the copies of an earlier stage are gone: a route goes through one training.
    """
    for name, network in stage.learners.items():
        stage.networks[f"{name}@{k}"] = network.copy(f"{name}@{k}")
        if k == stage.part.keep:
            for number in (n for n in list_anchors(name, stage.networks) if n > k):
                del stage.networks[f"{name}@{number}"]


def build_batches(stage: Stage) -> Iterator[Batch]:
    """The stage's batches: augmented, mixed, smoothed, with as many items of the target.

    Each leg of a route draws its own.
    """
    part, leg = stage.part, [stage.leg] if stage.leg else []
    generator = stream("stage", stage.where, stage.seed, *leg)
    augment = build_augmentation(part.augment) if part.augment else None
    batches = draw_batches(stage.data, part.batch, part.epochs, generator, augment)
    stage.state.hold("batches", batches)
    return (change_batch(stage, batch, generator) for batch in batches)


def change_batch(stage: Stage, batch: Batch, generator: torch.Generator) -> Batch:
    """A batch mixed and smoothed, with as many items of the target."""
    part = stage.part
    if part.mixup:
        batch = mix_batch(batch, stage.classes, part.mixup, generator)
    if part.smoothing:
        batch = batch._replace(y=smooth_labels(batch.y, stage.classes, part.smoothing))
    if stage.target is not None:
        picks = torch.randint(len(stage.target), (len(batch.x),), generator=generator)
        batch = batch._replace(target=stage.target.batch(picks)[0])
    return batch
