"""descend(): the outer loop as a generator of states, one per outer step.

An OuterState holds all that the next step needs, so that a run saved to disk goes on as if it had never
stopped: the caller draws random numbers from the number of the step.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from distill.inner.rules import Adam, Rule, Tensors
from distill.methods.base import Named, Objective, OuterGradient
from distill.outer.full_matrix import GGT
from distill.outer.synthetic import Synthetic

KEPT = 0.3  # of a step that is shortened
MOST_STEPS_BACK = 5  # in a row
ADDED_LATER = ("method_memory", "gradient_norms", "steps_back", "mean_loss", "tensors_before")  # to a state
LOSS_WEIGHT = 0.1  # of a loss in the running mean that jumps are seen by
NORM_WEIGHT = 0.1  # of a new norm in the running mean of a group's gradient norms


@dataclass(frozen=True)
class OuterOptimizer:
    """Adam or GGT on clipped gradients, with a running average: one learning rate per learned group."""

    lr: dict[str, float] = field(default_factory=lambda: {"items": 0.05, "labels": 0.2, "lrs": 0.1})
    clip_norm: float = 0.01  # of each group's gradient
    relative_clip: float | None = None  # instead: a multiple of the running mean of the group's norm
    beta1: float = 0.5
    beta2: float = 0.999
    window: int = 0  # gradients of GGT's preconditioner; 0: Adam
    restarts: tuple[int, ...] = ()  # steps at which its memory is dropped and the warm-up begins anew
    average_decay: float = 0.998
    patience: int = 5  # useless gradients in a row before the state is rolled back
    save_every: int = 100  # steps between the states that a rollback returns to
    largest_jump: float | None = None  # of a loss over the mean, before the last step is shortened
    lr_floor: float = 0.0  # the share of the learning rates at the end of the cosine
    warmup: int = 200  # steps over which the learning rates rise from zero, at most a tenth of the run

    @property
    def rule(self) -> Rule:
        """The update rule."""
        adam = Adam(self.beta1, self.beta2)
        return GGT(adam, self.window) if self.window else adam

    def warm_up(self, step: int, progress: float) -> float:
        """The factor of the learning rates, which rises from zero at the start and after each restart.

        It takes `warmup` steps, or at the start a tenth of the run, whichever ends first.
        """
        last = max((restart for restart in self.restarts if restart <= step), default=0)
        return min(1.0, max((step - last + 1) / self.warmup, 0.0 if last else 10 * progress))


@dataclass(frozen=True)
class OuterState:
    """The outer loop between two steps. Its field names are the keys of a checkpoint."""

    step: int
    tensors: Named
    memory: Tensors  # of the update rule
    average: Named  # of the tensors
    last_good: Named  # the average when the loop was last known to do well
    last_good_trend: float = math.inf  # the trend then
    loss: float = math.nan
    trend: float = math.nan  # the mean of recent losses
    lr_scale: float = 1.0  # halved by each rollback; grows back while the loop does well
    skipped: int = 0  # steps whose gradient was useless
    skipped_in_a_row: int = 0
    rollbacks: int = 0
    steps_back: int = 0  # in a row
    mean_loss: float = math.nan  # where jumps are looked for
    tensors_before: Named = field(default_factory=dict)  # the last step; there too
    gradient_norms: Named = field(default_factory=dict)  # their running means; empty without relative_clip
    method_memory: Named = field(default_factory=dict)  # what the method keeps from step to step


def initial_state(
    synthetic: Synthetic, optimizer: OuterOptimizer, method_memory: Named | None = None
) -> OuterState:
    """The state before the first outer step."""
    tensors = {name: t.detach().clone() for name, t in synthetic.tensors().items()}
    memory = optimizer.rule.start(list(tensors.values()))
    norms = {n: t.new_zeros(()) for n, t in tensors.items()} if optimizer.relative_clip else {}
    before = dict(tensors) if optimizer.largest_jump else {}
    start = OuterState(0, tensors, memory, dict(tensors), dict(tensors), tensors_before=before)
    return replace(start, gradient_norms=norms, method_memory=method_memory or {})


def descend(
    synthetic: Synthetic,
    objective: Objective,
    optimizer: OuterOptimizer,
    state: OuterState,
    progress: Callable[[int], float],
) -> Iterator[OuterState]:
    """Outer steps without end, from state on; the caller stops when it has enough.

    progress(step) in [0, 1] is the share of the run that is over: the learning rates follow half a cosine
    of it, after a warm-up.
    """
    while True:
        if state.step in optimizer.restarts:
            state = replace(state, memory=optimizer.rule.start(list(state.tensors.values())))
        memory = (state.method_memory,) if state.method_memory else ()
        gradient = objective(synthetic.replace_tensors(state.tensors), state.step, *memory)
        state = replace(state, method_memory=gradient.memory)
        if optimizer.largest_jump and has_jumped(state, gradient, optimizer.largest_jump):
            state = step_back(state, float(gradient.loss))
        elif is_usable(gradient):
            state = remember(state, gradient) if optimizer.largest_jump else state
            done, floor = progress(state.step), optimizer.lr_floor
            decay = floor + (1 - floor) * cosine_decay(done)
            lr_factor = decay * optimizer.warm_up(state.step, done)
            state = update_tensors(state, gradient.gradients, optimizer, lr_factor)
            state = record_loss(state, float(gradient.loss), gradient.uniform_loss, optimizer)
        else:
            state = skip_step(state, optimizer)
        yield state


def update_tensors(
    state: OuterState, gradients: Named, optimizer: OuterOptimizer, lr_factor: float
) -> OuterState:
    """One step of the rule on clipped gradients, at lr_factor times the rates, and the running average."""
    names = list(state.tensors)
    lrs = [torch.tensor(optimizer.lr[name] * lr_factor * state.lr_scale) for name in names]
    clipped, norms = clip_gradients(state, gradients, optimizer)
    tensors_before, slopes = [state.tensors[n] for n in names], [clipped[n] for n in names]
    updated, memory = optimizer.rule.update(tensors_before, state.memory, slopes, lrs)
    tensors = dict(zip(names, updated, strict=True))
    weight = max(1 - optimizer.average_decay, 9 / (10 + state.step))
    average = {n: torch.lerp(state.average[n], tensors[n], weight) for n in names}
    return replace(
        state, step=state.step + 1, tensors=tensors, memory=memory, average=average, skipped_in_a_row=0,
        gradient_norms=norms,
    )  # fmt: skip


def record_loss(state: OuterState, loss: float, uniform_loss: float, optimizer: OuterOptimizer) -> OuterState:
    """The state with its loss; every `save_every` steps it becomes the last good one, unless it got worse.

    uniform_loss is that of a network with equal logits, and a single loss counts for no more in the trend:
    some reach 1e17. Where the loss was lower and is back at uniform_loss, most units are dead; the gradient
    that is left does not revive them, so the state is rolled back.
    """
    counted, weight = min(loss, uniform_loss), min(1.0, 4 / optimizer.save_every)
    trend = counted if math.isnan(state.trend) else state.trend + weight * (counted - state.trend)
    state = replace(state, loss=loss, trend=trend)
    if state.step % optimizer.save_every:
        return state
    if state.last_good_trend < 0.97 * uniform_loss <= trend:
        return roll_back(state, optimizer)
    if trend > 2 * state.last_good_trend or abs(trend - uniform_loss) < 0.03 * uniform_loss:
        return state
    lr_scale = min(1.0, 1.1 * state.lr_scale)
    return replace(state, last_good_trend=trend, last_good=state.average, lr_scale=lr_scale)


def skip_step(state: OuterState, optimizer: OuterOptimizer) -> OuterState:
    """The state after a useless gradient: the same tensors, or a rollback after too many in a row."""
    in_a_row = state.skipped_in_a_row + 1
    state = replace(
        state, step=state.step + 1, skipped=state.skipped + 1, skipped_in_a_row=in_a_row, loss=math.nan
    )
    return state if in_a_row < optimizer.patience else roll_back(state, optimizer)


def roll_back(state: OuterState, optimizer: OuterOptimizer) -> OuterState:
    """The last good tensors again, at half the learning rates."""
    return replace(
        state,
        tensors=dict(state.last_good),
        average=dict(state.last_good),
        memory=optimizer.rule.start(list(state.last_good.values())),
        lr_scale=state.lr_scale / 2,
        trend=math.nan,
        mean_loss=math.nan,
        skipped_in_a_row=0,
        rollbacks=state.rollbacks + 1,
    )


def clip_gradients(state: OuterState, gradients: Named, optimizer: OuterOptimizer) -> tuple[Named, Named]:
    """Each group's gradient, clipped, and the running means of the norms, where the optimiser clips by them.

    A first gradient starts its mean; a later one, clipped, counts a tenth (as in RaT-BPTT, Feng et al. 2024).
    """
    factor, means = optimizer.relative_clip, state.gradient_norms
    if factor is None:
        return {n: clip(gradients[n], optimizer.clip_norm) for n in state.tensors}, means
    means = {n: mean if mean > 0 else gradients[n].norm() for n, mean in means.items()}
    clipped = {n: clip(gradients[n], max(factor * float(means[n]), 1e-30)) for n in state.tensors}
    return clipped, {n: torch.lerp(means[n], clipped[n].norm(), NORM_WEIGHT) for n in means}


def clip(gradient: Tensor, norm: float) -> Tensor:
    """The gradient shortened to at most norm, which may be infinite."""
    return gradient if math.isinf(norm) else gradient * (norm / gradient.norm().clamp(min=norm))


def cosine_decay(progress: float) -> float:
    """Half a cosine from 1 at progress 0 to 0 at progress 1."""
    return (1 + math.cos(math.pi * min(progress, 1.0))) / 2


def has_jumped(state: OuterState, gradient: OuterGradient, largest: float) -> bool:
    """Whether the loss is so many times the mean of the last ones, and the step may be shortened again."""
    return state.steps_back < MOST_STEPS_BACK and float(gradient.loss) > largest * state.mean_loss


def step_back(state: OuterState, loss: float) -> OuterState:
    """The state before its last step, and a share of that step.

    A loss far above the mean says that a step went too far: units died, or rates grew too large. Only for
    steps that all train the same known networks: of networks drawn anew some are young, with a high loss.
    """
    before, after = state.tensors_before, state.tensors
    tensors = {name: torch.lerp(before[name], after[name], KEPT) for name in after}
    return replace(state, step=state.step + 1, tensors=tensors, steps_back=state.steps_back + 1, loss=loss)


def remember(state: OuterState, gradient: OuterGradient) -> OuterState:
    """The state with its tensors and its loss in the mean, for a look at the next loss."""
    loss, mean = float(gradient.loss), state.mean_loss
    mean = loss if math.isnan(mean) else mean + LOSS_WEIGHT * (min(loss, 1.5 * mean) - mean)
    return replace(state, tensors_before=state.tensors, mean_loss=mean, steps_back=0)


def is_usable(gradient: OuterGradient) -> bool:
    """Whether all is finite and the items (else the labels) have a gradient; dead units give none."""
    sums = torch.stack([gradient.loss.sum(), *(g.sum() for g in gradient.gradients.values())])
    return bool(torch.isfinite(sums).all() and next(iter(gradient.gradients.values())).any())
