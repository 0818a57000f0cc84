"""Recompute: one step's graph at a time, rebuilt backwards from stored states."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from distill.inner.engines.base import Advance, Gradient, Loss, State, Step, leaves, pull, run


@dataclass(frozen=True)
class Recompute:
    """One step's graph at a time, rebuilt backwards from stored states (Maclaurin et al. 2015, alg. 2).

    Memory is one graph and T / every + every states, for two more forwards and backwards per step
    than Unroll. every = √T keeps the fewest states and is the default; every = 1 keeps all, for one
    more forward and backward per step. states_on names the device where the stored states wait: "cpu"
    spares a GPU's memory.
    """

    every: int | None = None
    states_on: str | None = None

    def gradient(
        self,
        advance: Advance,
        state: State,
        steps: Sequence[Step],
        loss: Loss,
        generator: torch.Generator | None = None,
    ) -> Gradient:
        every = self.every or max(1, round(len(steps) ** 0.5))
        parts = [steps[first : first + every] for first in range(0, len(steps), every)]
        starts = []
        for part in parts:
            starts.append(tuple(t.to(self.states_on) for t in state) if self.states_on else state)
            state = run(advance, state, part)[-1]
        value, adjoint = self.value(loss, state)
        grads: list[Step] = []
        for part in reversed(parts):
            first = tuple(t.to(value.device) for t in starts.pop())
            states = run(advance, first, part[:-1])
            for step in reversed(part):
                grad, adjoint = self.back(advance, states.pop(), step, adjoint)
                grads.append(grad)
        return value, grads[::-1]

    @staticmethod
    def value(loss: Loss, state: State) -> tuple[Tensor, list[Tensor]]:
        """The outer value and its gradient for the last state."""
        state = leaves(state)
        with torch.enable_grad():
            value = loss(state)
        return value.detach(), pull([value], state)

    @staticmethod
    def back(advance: Advance, state: State, step: Step, adjoint: list[Tensor]) -> tuple[Step, list[Tensor]]:
        """Invariant: adjoint = d value / d s_{t+1} comes in, (d value / d step_t, d value / d s_t) go out."""
        state, step = leaves(state), leaves(step)
        with torch.enable_grad():
            after = advance(state, step)
        flat = pull(after, [*step, *state], adjoint)
        return type(step)(*flat[: len(step)]), flat[len(step) :]
