"""Turns: the optimiser, the schedule and the sum of losses of each learner of a stage."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor, nn

from distill.kd.losses.multiplier import Multiplier
from distill.kd.losses.objective import WeightedLoss, sum_losses
from distill.kd.networks import compute_logits
from distill.kd.plugins.losses import find_loss
from distill.kd.recipe.parts import LossPart, OptimizerPart, RampPart, SchedulePart, StagePart
from distill.kd.taps import Calls, Outputs
from distill.kd.techniques.alphas import choose_alpha
from distill.kd.training.connectors import build_connector
from distill.kd.training.optimisers import build_optimiser
from distill.kd.training.schedules import build_schedule
from distill.kd.training.stage import Stage
from distill.randomness import stream
from distill.student.loop import Batch, Loss, Turn


def build_turns(stage: Stage) -> list[Turn]:
    """One turn per learner: its optimiser, its schedule, and the sum of its losses. Raises RecipeError."""
    teacher_logits, turns = compute_teacher_logits(stage), []
    for learner, turn in stage.part.turns.items():
        keys = [f"{stage.where}.{learner}.{j}" for j in range(len(turn.losses))]
        losses = [build_loss(stage, learner, part, key) for part, key in zip(turn.losses, keys, strict=True)]
        connectors = [module for loss in losses for module in loss.modules]
        turns.append(
            build_turn(stage, learner, build_objective(stage, learner, losses, teacher_logits), connectors)
        )
    return turns


def build_turn(stage: Stage, learner: str, loss: Loss, connectors: Sequence[nn.Module]) -> Turn:
    """The turn of a learner and the connectors that learn with it. Raises RecipeError."""
    modules = [stage.networks[learner].student, *connectors]
    parameters = [p for module in modules for p in module.parameters() if p.requires_grad]
    rates = choose_rates(stage.part, learner)
    optimiser = build_optimiser(rates.optimizer, parameters, stage.part.lr, f"{stage.where}.optimizer")
    scheduler = build_schedule(
        rates.schedule, optimiser, stage.part.epochs, stage.total, f"{stage.where}.schedule"
    )
    return Turn(optimiser, scheduler.watch(loss), f"{learner} in {stage.where}", scheduler, tuple(connectors))


class Rates(NamedTuple):
    """The optimiser and the schedule of a turn."""

    optimizer: OptimizerPart
    schedule: SchedulePart


def choose_rates(stage: StagePart, learner: str) -> Rates:
    """Those of a learner's turn, where it has its own, else the stage's."""
    turn = stage.turns[learner]
    return Rates(turn.optimizer or stage.optimizer, turn.schedule or stage.schedule)


def build_objective(
    stage: Stage, learner: str, losses: Sequence[WeightedLoss], teacher_logits: Mapping[str, Tensor]
) -> Loss:
    """The loss of a learner on a batch."""
    calls: Calls = {}

    def objective(batch: Batch) -> Tensor:
        logits = {name: rows[batch.indices] for name, rows in teacher_logits.items()}
        outputs = build_outputs(stage, learner, losses, batch, logits, calls)
        return sum_losses(losses, learner, outputs, batch, stage.state.meter(learner))

    return objective


def build_outputs(
    stage: Stage,
    learner: str,
    losses: Sequence[WeightedLoss],
    batch: Batch,
    teacher_logits: Mapping[str, Tensor],
    calls: Calls,
) -> Outputs:
    """The outputs that a learner's losses read on a batch, computed when they are first read."""
    reads: dict[tuple[str, str], set[str | None]] = {}
    for part in (loss.part for loss in losses):
        for name, path, domain in list_reads(part, learner):
            if path or domain != "source" or name not in teacher_logits:
                reads.setdefault((name, domain), set()).add(path)
    domains = {"source": batch.x, "plain": batch.plain, "target": batch.target}
    items = {domain: x for domain, x in domains.items() if x is not None}
    modules = {name: network.module for name, network in stage.networks.items()}
    return Outputs(modules, learner, reads, items, teacher_logits, calls)


def list_reads(part: LossPart, learner: str) -> list[tuple[str, str | None, str]]:
    """The outputs that a loss reads: network, module path (None for the logits), domain."""
    domains = {"plain", "target"} & set(find_loss(part.loss, learner).takes)
    reads = [(learner, part.tap, domain) for domain in {part.domain, *domains}]
    if part.teacher is None:
        return reads
    layers: list[str | None] = [*part.layers] if part.layers else [part.teacher_tap or part.tap]
    return reads + [(part.teacher, layer, part.domain) for layer in layers]


def compute_teacher_logits(stage: Stage) -> dict[str, Tensor]:
    """For all items, the logits of teachers that do not learn, where the items are the same in each epoch."""
    part = stage.part
    if part.augment or part.mixup or part.epochs == 1:
        return {}
    teachers = {loss.teacher for turn in part.turns.values() for loss in turn.losses if loss.tap is None}
    fixed = [name for name in teachers if name and not stage.learns(name)]
    return {name: compute_logits(stage.networks[name], stage.data) for name in fixed}


def build_loss(stage: Stage, learner: str, part: LossPart, where: str) -> WeightedLoss:
    """A loss with its connector, where it has one (the regressor of FitNets, section 2.2)."""
    loss = find_loss(part.loss, where)
    multiplier = build_multiplier(part)
    if not loss.connector:
        return WeightedLoss(part, where, multiplier=multiplier)
    student_output, teacher_output = probe_outputs(stage, learner, part)
    connector = build_connector(student_output, teacher_output, stream("connector", where, stage.seed))
    if not loss.layers:
        return WeightedLoss(part, where, connector, multiplier=multiplier)
    alphas, generator = stage.networks[part.teacher or ""].alphas, stream("alpha", where, stage.seed)
    alpha = choose_alpha(part, alphas, generator)
    return WeightedLoss(part, where, connector, alpha.to(student_output.device), multiplier)


def build_multiplier(part: LossPart) -> Multiplier | None:
    """The multiplier of a loss with a bound, which starts at the loss's weight."""
    if part.bound is None or isinstance(part.weight, RampPart):
        return None
    return Multiplier(part.weight, part.bound.at_most, part.bound.lr)


def probe_outputs(stage: Stage, learner: str, part: LossPart) -> tuple[Tensor, Tensor]:
    """The outputs of the learner's module and of the teacher's for two items: their sizes are what counts."""
    reads: dict[tuple[str, str], set[str | None]] = {}
    for name, path, _ in list_reads(part, learner):
        reads.setdefault((name, "source"), set()).add(path)
    modules = {name: network.module for name, network in stage.networks.items()}
    outputs = Outputs(modules, "", reads, {"source": stage.data.batch(slice(0, 2))[0]})  # nobody learns
    path = part.layers[0] if part.layers else part.teacher_tap or part.tap
    return outputs(learner, part.tap, "source"), outputs(part.teacher or "", path, "source")
