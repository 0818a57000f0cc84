"""FirstOrder: every step gets the last state's gradient, as if later steps passed it on unchanged."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from distill.inner.engines.base import (
    Advance,
    Gradient,
    Loss,
    State,
    Step,
    fresh_leaves,
    pull_back,
    run_steps,
)
from distill.registry import option


@dataclass(frozen=True)
class FirstOrder:
    """d s_{t+1} / d s_t = decay · I (with decay 1: Luketina et al. 2016): one graph at a time, biased."""

    decay: float = option(1.0, "FACTOR", above=0)
    """By how much a step weakens the gradient of the steps before it."""

    def gradient(
        self,
        advance: Advance,
        state: State,
        steps: Sequence[Step],
        loss: Loss,
        generator: torch.Generator | None = None,
    ) -> Gradient:
        states = run_steps(advance, state, steps)
        last = fresh_leaves(states[-1])
        with torch.enable_grad():
            value = loss(last)
        adjoint = pull_back([value], last)
        gradients: list[Step] = []
        for before, step in zip(reversed(states[:-1]), reversed(steps), strict=True):
            leaves = fresh_leaves(step)
            with torch.enable_grad():
                after = advance(before, leaves)
            gradients.append(type(step)(*pull_back(after, leaves, adjoint)))
            adjoint = [self.decay * a for a in adjoint]
        return value.detach(), gradients[::-1]
