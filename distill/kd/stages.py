"""Stages: the learners of a stage take their turns on its batches, and copies of them are kept on the way."""

import collections
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch.utils.hooks import RemovableHandle

from distill.data.augment import build_augmentation
from distill.kd.networks import prepare_learner
from distill.kd.techniques.mixing import mix_batch, smooth_labels
from distill.kd.techniques.pruning import apply_masks, find_masks
from distill.kd.training.search import build_search
from distill.kd.training.stage import Stage as Stage
from distill.kd.training.turns import build_turns
from distill.randomness import stream
from distill.student.loop import Batch, Turn, draw_batches, run_turns


class StageRecord(NamedTuple):
    """The share of a stage that is done, and the loss of each turn."""

    share: float
    losses: tuple[float, ...]


@dataclass(frozen=True)
class StageTraining:
    """A stage under way: its networks change, and the optimiser, scheduler and connectors of each turn."""

    stage: Stage
    turns: list[Turn]
    batches: Iterator[Batch]
    masks: list[RemovableHandle]  # hooks that hold pruned weights at zero

    def run(self, done: int = 0) -> Iterator[StageRecord]:
        """Train the learners in place, one record per batch; stage.networks gains the anchors.

        `done` batches are passed over, for a stage that goes on from what it had after them: they are drawn,
        so that those after them are the same.
        """
        stage, keep = self.stage, self.stage.part.keep
        anchor_steps = [round(stage.total * (k + 1) / keep) for k in range(keep)]
        collections.deque(itertools.islice(self.batches, done), maxlen=0)
        for step, losses in run_turns(self.turns, self.batches, stage.total):
            if step + done in anchor_steps:
                keep_anchors(stage, anchor_steps.index(step + done) + 1)
            yield StageRecord((step + done) / stage.total, losses)
        self.end()

    def end(self) -> None:
        """The learners as teachers: in eval mode, without gradients or hooks."""
        for handle in self.masks:
            handle.remove()
        for network in self.stage.learners.values():
            network.student.zero_grad()
            network.student.requires_grad_(False).eval()


def run_stage(stage: Stage) -> Iterator[StageRecord]:
    """Train the stage's learners in place, one record per batch; stage.networks gains the anchors."""
    return start_stage(stage).run()


def start_stage(stage: Stage) -> StageTraining:
    """The stage before its first batch: learners ready to learn, connectors drawn. Raises RecipeError."""
    part, masks = stage.part, list[RemovableHandle]()
    for name, network in stage.learners.items():
        prepare_learner(network, part.turns[name].frozen or ())
        if part.prune:
            parameters = {n: w for n, w in network.module.named_parameters() if w.requires_grad}
            masks += apply_masks(parameters, find_masks(parameters, part.prune))
    stage, turns = build_search(stage) if part.search else (stage, build_turns(stage))
    return StageTraining(stage, turns, build_batches(stage), masks)


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
