"""Stages: the words of a stage into objects (learners, turns, batches), and the one loop over them."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from distill.data.augment import build_augmentation
from distill.kd.losses import KD_LOSSES
from distill.kd.losses.objective import WeightedLoss, sum_losses
from distill.kd.networks import Networks, compute_logits
from distill.kd.recipe.parts import LossPart, StagePart
from distill.kd.sources import halve
from distill.kd.taps import Outputs
from distill.kd.techniques.aggregation import AggregationSearch, Group
from distill.kd.techniques.mixing import mix_batch, smooth_labels
from distill.kd.techniques.pruning import apply_masks, find_masks
from distill.networks.initial import draw_weights
from distill.randomness import stream
from distill.student.loop import (
    Batch,
    Loss,
    Turn,
    count_batches,
    draw_batches,
    list_optimisers,
    run_turns,
)
from distill.student.training import Data

ALPHA_LR = 0.02  # of Adam on the weights of aggregations


@dataclass(frozen=True)
class Stage:
    """One training: what a stage of a recipe says, with the objects that its words stand for."""

    part: StagePart
    where: str  # its key in the recipe; it seeds the stage
    networks: Networks  # those of the recipe, and the anchors kept so far
    data: Data
    classes: int
    seed: int
    target: Data | None = None

    @property
    def learners(self) -> Networks:
        """The networks that have a turn."""
        return {name: self.networks[name] for name in self.part.turns}

    @property
    def total(self) -> int:
        """How many batches the stage has."""
        return count_batches(self.data, self.part.batch, self.part.epochs)


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


def build_turns(stage: Stage) -> list[Turn]:
    """One turn per learner: its optimiser, and the sum of its losses."""
    losses = {
        name: [build_loss(stage, name, part, f"{stage.where}.{name}.{j}") for j, part in enumerate(parts)]
        for name, parts in stage.part.turns.items()
    }
    teacher_logits = compute_teacher_logits(stage)
    return [
        Turn(
            build_optimiser(stage, name, [loss.connector for loss in losses[name] if loss.connector]),
            build_objective(stage, name, losses[name], teacher_logits),
            f"{name} in {stage.where}",
        )
        for name in stage.part.turns
    ]


def build_optimiser(stage: Stage, learner: str, connectors: Sequence[nn.Module]) -> torch.optim.Optimizer:
    """The stage's optimiser of a learner's weights and its connectors'."""
    modules = [stage.networks[learner].student, *connectors]
    parameters = [parameter for module in modules for parameter in module.parameters()]
    return list_optimisers()[stage.part.optimizer](parameters, lr=stage.part.lr)


def build_objective(
    stage: Stage, learner: str, losses: Sequence[WeightedLoss], teacher_logits: Mapping[str, Tensor]
) -> Loss:
    """The loss of a learner on a batch."""

    def objective(batch: Batch) -> Tensor:
        logits = {name: rows[batch.indices] for name, rows in teacher_logits.items()}
        outputs = build_outputs(stage, learner, losses, batch, logits)
        return sum_losses(losses, learner, outputs, batch.y, batch.progress)

    return objective


def build_outputs(
    stage: Stage,
    learner: str,
    losses: Sequence[WeightedLoss],
    batch: Batch,
    teacher_logits: Mapping[str, Tensor],
) -> Outputs:
    """The outputs that a learner's losses read on a batch, computed when they are first read."""
    paths: dict[str, set[str]] = {}
    for part in (loss.part for loss in losses):
        layers: list[str | None] = [*part.layers] if part.layers else [part.teacher_tap or part.tap]
        for name, path in ((learner, part.tap), *((part.teacher, layer) for layer in layers)):
            if name and path:
                paths.setdefault(name, set()).add(path)
    domains = {"source": batch.x, "plain": batch.plain, "target": batch.target}
    items = {domain: x for domain, x in domains.items() if x is not None}
    modules = {name: network.module for name, network in stage.networks.items()}
    return Outputs(modules, learner, paths, items, teacher_logits)


def compute_teacher_logits(stage: Stage) -> dict[str, Tensor]:
    """For all items, the logits of teachers that do not learn, where the items are the same in each epoch."""
    part = stage.part
    if part.augment or part.mixup or part.epochs == 1:
        return {}
    teachers = {loss.teacher for losses in part.turns.values() for loss in losses if loss.tap is None}
    frozen = {name for name in teachers if name and name not in part.turns}
    return {name: compute_logits(stage.networks[name], stage.data) for name in frozen}


def build_loss(stage: Stage, learner: str, part: LossPart, where: str) -> WeightedLoss:
    """A loss with its connector, where it has one (the regressor of FitNets, section 2.2)."""
    loss = KD_LOSSES[part.loss]
    if not loss.connector:
        return WeightedLoss(part, where)
    student_output, teacher_output = probe_outputs(stage, learner, part, where)
    connector = build_connector(student_output, teacher_output, stream("connector", where, stage.seed))
    if not loss.layers:
        return WeightedLoss(part, where, connector)
    alpha = stage.networks[part.teacher or ""].alphas.get(group_key(part))
    alpha = torch.zeros(len(part.layers or ())) if alpha is None else alpha.detach()
    return WeightedLoss(part, where, connector, alpha.to(student_output.device))


def probe_outputs(stage: Stage, learner: str, part: LossPart, where: str) -> tuple[Tensor, Tensor]:
    """The outputs of the learner's module and of the teacher's for two items: their sizes are what counts."""
    x, y = stage.data.batch(slice(0, 2))
    batch = Batch(x, y, torch.arange(len(x)), 0.0)
    outputs = build_outputs(stage, learner, [WeightedLoss(part, where)], batch, {})
    path = part.layers[0] if part.layers else part.teacher_tap or part.tap
    with torch.no_grad():
        return outputs(learner, part.tap, "source"), outputs(part.teacher or "", path, "source")


def build_connector(source: Tensor, goal: Tensor, generator: torch.Generator) -> nn.Module:
    """A 1×1 convolution, or a matrix, from the channels of one output to those of another."""
    a, b = source.shape[1], goal.shape[1]
    connector: nn.Module = nn.Conv2d(a, b, 1) if source.ndim == 4 else nn.Linear(a, b)
    connector.load_state_dict(draw_weights(connector, generator, "uniform"))
    return connector.to(source.device)


def build_search(stage: Stage) -> tuple[Stage, list[Turn]]:
    """Stage one of DFA: the stage on one half of its items; the turn of the student and its connectors, then
    that of α on the other half.
    """
    learner, parts = next(iter(stage.part.turns.items()))
    searched = [part for part in parts if KD_LOSSES[part.loss].layers]
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
    optimiser = build_optimiser(stage, learner, connectors)
    return replace(stage, data=half), [
        Turn(optimiser, search.student_loss(), f"{learner} in {stage.where}"),
        Turn(alpha_optimiser, search.alpha_loss(), f"the search in {stage.where}"),
    ]


def build_group(stage: Stage, learner: str, part: LossPart, where: str) -> Group:
    """A group with fresh connectors and the same α for all layers."""
    student_output, teacher_output = probe_outputs(stage, learner, part, where)
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


def group_key(part: LossPart) -> str:
    """What the search of a group and the stage that uses it have in common."""
    return f"{part.tap} <- {' '.join(part.layers or ())}"
