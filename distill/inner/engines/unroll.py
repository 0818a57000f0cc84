"""Unroll: the graph of all inner steps at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from distill.inner.engines.base import Advance, Gradient, Loss, State, Step, fresh_leaves, pull_back


@dataclass(frozen=True)
class Unroll:
    """The whole graph of all steps at once: the fewest operations, memory linear in T."""

    def gradient(
        self,
        advance: Advance,
        state: State,
        steps: Sequence[Step],
        loss: Loss,
        generator: torch.Generator | None = None,
    ) -> Gradient:
        steps = [fresh_leaves(step) for step in steps]
        with torch.enable_grad():
            for step in steps:
                state = advance(state, step)
            value = loss(state)
        flat = iter(pull_back([value], [t for step in steps for t in step]))
        return value.detach(), [type(step)(*(next(flat) for _ in step)) for step in steps]
