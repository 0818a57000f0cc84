"""The search of layers (Guan et al. 2020, stage one): its turns are the student's and that of α.

The losses, and where we differ from the paper, are in distill.kd.techniques.aggregation.
"""

from dataclasses import dataclass, replace

import torch
from torch import nn
from torch.optim.lr_scheduler import LambdaLR

from distill.kd.losses import KD_LOSSES
from distill.kd.recipe.parts import LossPart, SearchPart
from distill.kd.sources import halve
from distill.kd.techniques.aggregation import AggregationSearch, Group
from distill.kd.techniques.alphas import name_group
from distill.kd.training.connectors import build_connector
from distill.kd.training.stage import Stage
from distill.kd.training.turns import build_turn, probe_outputs
from distill.randomness import stream
from distill.student.loop import Batch, Turn, count_batches
from distill.student.training import Data


def build_search(stage: Stage) -> tuple[Stage, list[Turn]]:
    """Stage one of DFA: the stage on one half of its items; the turn of the student and its connectors, then
    that of α on the other half.
    """
    part = stage.part.search if isinstance(stage.part.search, SearchPart) else SearchPart()
    (learner, turn), *_ = stage.part.turns.items()
    searched = [loss for loss in turn.losses if KD_LOSSES[loss.loss].layers]
    groups = [
        build_group(stage, learner, loss, f"{stage.where}.{learner}.{j}") for j, loss in enumerate(searched)
    ]
    teacher = stage.networks[searched[0].teacher or ""]
    teacher.alphas.update({name_group(loss): g.alpha for loss, g in zip(searched, groups, strict=True)})
    half, held_out = halve(stage.data, stream("halves", stage.where, stage.seed))
    stage = replace(stage, data=half)
    search = AggregationSearch(
        stage.networks[learner].module, teacher.module, groups, HeldOut(held_out, stage),
        part.ts, part.st, part.regulariser,
    )  # fmt: skip
    connectors = [module for group in groups for module in (group.to_teacher, group.to_student)]
    student_turn = build_turn(stage, learner, search.student_loss(), connectors)
    return stage, [student_turn, build_alpha_turn(stage, search, part)]


def build_alpha_turn(stage: Stage, search: AggregationSearch, part: SearchPart) -> Turn:
    """The turn of α: Adam with β₁ = 0.5 at a constant rate, as DARTS; none in the first epochs."""
    alphas = nn.ParameterList([group.alpha for group in search.groups])
    optimiser = torch.optim.Adam(alphas.parameters(), lr=part.lr, betas=(0.5, 0.999))
    first = part.warmup * count_batches(stage.data, stage.part.batch, 1)
    scheduler = LambdaLR(optimiser, lambda step: float(step >= first))
    return Turn(optimiser, search.alpha_loss(), f"the search in {stage.where}", scheduler, (alphas,))


@dataclass(frozen=True)
class HeldOut:
    """The held-out half in batches; which one belongs to a batch of the stage follows from its place."""

    data: Data
    stage: Stage

    def __call__(self, batch: Batch) -> Batch:
        """The batch of the other half for a batch of the stage; new orders as each half is used up."""
        stage = self.stage
        step, size = round(batch.progress * stage.total), stage.part.batch
        epoch, k = divmod(step, count_batches(self.data, size, 1))
        order = torch.randperm(len(self.data), generator=stream("search", stage.where, stage.seed, epoch))
        indices = order[k * size : (k + 1) * size]
        return Batch(*self.data.batch(indices), indices, batch.progress)


def build_group(stage: Stage, learner: str, part: LossPart, where: str) -> Group:
    """A group with fresh connectors and the same α for all layers."""
    student_output, teacher_output = probe_outputs(stage, learner, part)
    # "there" and "back" seed the connectors: other words would give other initial weights
    to_teacher = build_connector(
        student_output, teacher_output, stream("connector", "there", where, stage.seed)
    )
    to_student = build_connector(
        teacher_output, student_output, stream("connector", "back", where, stage.seed)
    )
    layers = tuple(part.layers or ())
    alpha = nn.Parameter(torch.zeros(len(layers), device=student_output.device))
    return Group(part.tap or "", layers, alpha, to_teacher, to_student)
