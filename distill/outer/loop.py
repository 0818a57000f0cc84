"""descend(): the outer loop as a generator of states, one per outer step.

An OuterState is everything that the next step needs, so that a run saved to disk goes on as if it
had never stopped: randomness is drawn by the caller's `task(step)` from the number of the step.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from distill.inner.rules import Adam, Tensors
from distill.methods.base import Named, Objective, OuterGradient
from distill.outer.synthetic import Synthetic


@dataclass(frozen=True)
class Outer:
    """How the outer loop moves: one learning rate and one clip norm per learned group."""

    lr: dict[str, float] = field(default_factory=lambda: {"items": 0.05, "labels": 0.2, "rates": 0.1})
    clip: float = 0.01
    beta1: float = 0.5
    beta2: float = 0.999
    average: float = 0.998
    patience: int = 5  # useless gradients in a row before the state is rolled back
    keep: int = 100  # steps between the states that a rollback goes back to
    warmup: int = 200  # steps over which the rates rise from zero, at most a tenth of the run


@dataclass(frozen=True)
class OuterState:
    """The outer loop between two steps."""

    step: int
    tensors: Named
    memory: Tensors
    average: Named
    good: Named  # the average when the loop was last known to be well
    well: float = math.inf  # the trend then
    loss: float = math.nan
    trend: float = math.nan  # the mean of recent losses
    scale: float = 1.0  # halved by each rollback; grows back while all is well
    skipped: int = 0
    streak: int = 0
    rollbacks: int = 0


def begin(synthetic: Synthetic, outer: Outer) -> OuterState:
    """The state before the first outer step."""
    tensors = {name: t.detach().clone() for name, t in synthetic.tensors().items()}
    memory = rule(outer).start(list(tensors.values()))
    return OuterState(0, tensors, memory, dict(tensors), dict(tensors))


def rule(outer: Outer) -> Adam:
    return Adam(outer.beta1, outer.beta2)


def descend(
    synthetic: Synthetic,
    objective: Objective,
    outer: Outer,
    state: OuterState,
    share: Callable[[int], float],
) -> Iterator[OuterState]:
    """Outer steps without end, from state on; the caller stops when it has enough.

    share(step) in [0, 1] is how much of the run is over: the rates follow half a cosine of it, after
    a warm-up of so many steps or a tenth of the run, whichever ends first.
    """
    while True:
        found = objective(synthetic.replace_tensors(state.tensors), state.step)
        if usable(found):
            over = share(state.step)
            pace = cosine(over) * min(1.0, max((state.step + 1) / outer.warmup, 10 * over))
            state = kept(
                moved(state, found.gradients, outer, pace), float(found.loss), found.uniform_loss, outer
            )
        else:
            state = skipped(state, outer)
        yield state


def moved(state: OuterState, grads: Named, outer: Outer, pace: float) -> OuterState:
    """One Adam step on clipped gradients, at a share `pace` of its rates, and the running average."""
    names = list(state.tensors)
    rates = [torch.tensor(outer.lr[name] * pace * state.scale) for name in names]
    clipped = [clip(grads[name], outer.clip) for name in names]
    after, memory = rule(outer).update([state.tensors[n] for n in names], state.memory, clipped, rates)
    tensors = dict(zip(names, after, strict=True))
    weight = max(1 - outer.average, 9 / (10 + state.step))
    average = {n: torch.lerp(state.average[n], tensors[n], weight) for n in names}
    return replace(state, step=state.step + 1, tensors=tensors, memory=memory, average=average, streak=0)


def kept(state: OuterState, loss: float, silence: float, outer: Outer) -> OuterState:
    """The state with its loss; every `keep` steps it becomes the one to roll back to, unless it got worse.

    silence is the loss of a network that says nothing, and the most that one loss counts for: single ones
    reach 1e17. Who had learned something and fell back to silence has mostly dead units; the gradient that
    is left does not wake them, so the state is rolled back.
    """
    counts, weight = min(loss, silence), min(1.0, 4 / outer.keep)
    trend = counts if math.isnan(state.trend) else state.trend + weight * (counts - state.trend)
    state = replace(state, loss=loss, trend=trend)
    if state.step % outer.keep:
        return state
    if state.well < 0.97 * silence <= trend:
        return rolled_back(state, outer)
    if trend > 2 * state.well or abs(trend - silence) < 0.03 * silence:
        return state
    return replace(state, well=trend, good=state.average, scale=min(1.0, 1.1 * state.scale))


def skipped(state: OuterState, outer: Outer) -> OuterState:
    """A step whose gradient is of no use changes nothing; a streak of them rolls back."""
    state = replace(
        state, step=state.step + 1, skipped=state.skipped + 1, streak=state.streak + 1, loss=math.nan
    )
    return state if state.streak < outer.patience else rolled_back(state, outer)


def rolled_back(state: OuterState, outer: Outer) -> OuterState:
    """The last good state again, at half the rates."""
    return replace(
        state,
        tensors=dict(state.good),
        average=dict(state.good),
        memory=rule(outer).start(list(state.good.values())),
        scale=state.scale / 2,
        trend=math.nan,
        streak=0,
        rollbacks=state.rollbacks + 1,
    )


def clip(grad: Tensor, norm: float) -> Tensor:
    """grad shortened to at most norm."""
    return grad * (norm / grad.norm().clamp(min=norm))


def cosine(share: float) -> float:
    """Half a cosine from 1 at share 0 to 0 at share 1."""
    return (1 + math.cos(math.pi * min(share, 1.0))) / 2


def usable(found: OuterGradient) -> bool:
    """Whether all is finite, and the items matter: in a network whose every unit has died they do not."""
    sums = torch.stack([found.loss.sum(), *(g.sum() for g in found.gradients.values())])
    return bool(torch.isfinite(sums).all() and found.gradients["items"].any())
