"""Stages: the learners of a stage take their turns on its batches, and copies of them are kept on the way."""

from collections.abc import Iterator
from typing import NamedTuple

import torch

from distill.data.augment import build_augmentation
from distill.kd.techniques.mixing import mix_batch, smooth_labels
from distill.kd.techniques.pruning import apply_masks, find_masks
from distill.kd.training.search import build_search
from distill.kd.training.stage import Stage as Stage
from distill.kd.training.turns import build_turns
from distill.randomness import stream
from distill.student.loop import Batch, draw_batches, run_turns


class StageRecord(NamedTuple):
    """The share of a stage that is done, and the loss of each turn."""

    share: float
    losses: tuple[float, ...]


def run_stage(stage: Stage) -> Iterator[StageRecord]:
    """Train the stage's learners in place, one record per batch; stage.networks gains the anchors."""
    learners, part, handles = stage.learners, stage.part, []
    for network in learners.values():
        network.student.requires_grad_(True).train()
        if part.prune:
            parameters = dict(network.module.named_parameters())
            handles += apply_masks(parameters, find_masks(parameters, part.prune))
    stage, turns = build_search(stage) if part.search else (stage, build_turns(stage))
    anchor_steps = [round(stage.total * (k + 1) / part.keep) for k in range(part.keep)]
    for step, losses in run_turns(turns, build_batches(stage), stage.total):
        if step in anchor_steps:
            keep_anchors(stage, anchor_steps.index(step) + 1)
        yield StageRecord(step / stage.total, losses)
    for handle in handles:
        handle.remove()
    for network in learners.values():
        network.student.zero_grad()
        network.student.requires_grad_(False).eval()


def keep_anchors(stage: Stage, k: int) -> None:
    """Add copies of the learners as they are now to the networks, as NAME@k."""
    for name, network in stage.learners.items():
        stage.networks[f"{name}@{k}"] = network.copy(f"{name}@{k}")


def build_batches(stage: Stage) -> Iterator[Batch]:
    """The stage's batches: augmented, mixed, smoothed, with as many items of the target."""
    part, generator = stage.part, stream("stage", stage.where, stage.seed)
    augment = build_augmentation(part.augment) if part.augment else None
    for batch in draw_batches(stage.data, part.batch, part.epochs, generator, augment):
        if part.mixup:
            batch = mix_batch(batch, stage.classes, part.mixup, generator)
        if part.smoothing:
            batch = batch._replace(y=smooth_labels(batch.y, stage.classes, part.smoothing))
        if stage.target is not None:
            picks = torch.randint(len(stage.target), (len(batch.x),), generator=generator)
            batch = batch._replace(target=stage.target.batch(picks)[0])
        yield batch
