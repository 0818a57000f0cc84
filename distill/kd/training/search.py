"""The search of layers (Guan et al. 2020, stage one): its turns are the student's and that of α."""

from dataclasses import replace

import torch

from distill.kd.losses import KD_LOSSES
from distill.kd.recipe.parts import LossPart
from distill.kd.sources import halve
from distill.kd.techniques.aggregation import AggregationSearch, Group
from distill.kd.training.connectors import build_connector
from distill.kd.training.stage import Stage
from distill.kd.training.turns import build_turn, group_key, probe_outputs
from distill.randomness import stream
from distill.student.loop import Turn, draw_batches

ALPHA_LR = 0.02  # of Adam on the weights of aggregations


def build_search(stage: Stage) -> tuple[Stage, list[Turn]]:
    """Stage one of DFA: the stage on one half of its items; the turn of the student and its connectors, then
    that of α on the other half.
    """
    learner, turn = next(iter(stage.part.turns.items()))
    searched = [part for part in turn.losses if KD_LOSSES[part.loss].layers]
    groups = [
        build_group(stage, learner, part, f"{stage.where}.{learner}.{j}") for j, part in enumerate(searched)
    ]
    teacher = stage.networks[searched[0].teacher or ""]
    teacher.alphas.update({group_key(part): g.alpha for part, g in zip(searched, groups, strict=True)})
    half, held_out = halve(stage.data, stream("halves", stage.where, stage.seed))
    batches = draw_batches(held_out, stage.part.batch, stage.part.epochs + 1, stream("search", stage.seed))
    search = AggregationSearch(stage.networks[learner].module, teacher.module, groups, batches)
    connectors = [module for group in groups for module in (group.to_teacher, group.to_student)]
    alpha_optimiser = torch.optim.Adam([group.alpha for group in groups], lr=ALPHA_LR)
    student_turn = build_turn(replace(stage, data=half), learner, search.student_loss(), connectors)
    alpha_turn = Turn(alpha_optimiser, search.alpha_loss(), f"the search in {stage.where}")
    return replace(stage, data=half), [student_turn, alpha_turn]


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
    alpha = torch.zeros(len(layers), device=student_output.device, requires_grad=True)
    return Group(part.tap or "", layers, alpha, to_teacher, to_student)
