"""Recompute: one step's graph at a time, rebuilt backwards from stored states."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from distill.errors import UserError
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
from distill.registry import check_options, option, python_name

MAX_STATES = 64 * 2**20  # bytes of states that are all kept


@dataclass(frozen=True)
class Recompute:
    """One step's graph at a time, rebuilt backwards from stored states (Maclaurin et al. 2015, alg. 2).

    Memory is one graph and T / every + every states. every = 1 keeps all states, for one more forward and
    backward per step than Unroll; every = √T keeps the fewest, for two. The default keeps all while they
    take at most 64 MiB, else the fewest.
    """

    every: int | None = option(None, "K", above=0)
    """Store each K-th state (default: each, up to 64 MiB; beyond that the square root of the inner steps,
    which stores the fewest)."""
    states_device: str | None = option(None, "DEVICE")
    """Where stored states wait: cpu spares a GPU's memory (default: the device of the run)."""

    def __post_init__(self) -> None:
        check_options(self, python_name)
        if self.states_device is not None:
            try:
                torch.zeros(1, device=self.states_device)
            except (RuntimeError, AssertionError):
                raise UserError(
                    f'states_device: no device "{self.states_device}" on this machine: use cpu'
                ) from None

    def gradient(
        self,
        advance: Advance,
        state: State,
        steps: Sequence[Step],
        loss: Loss,
        generator: torch.Generator | None = None,
    ) -> Gradient:
        every = self.every or choose_every(state, len(steps))
        parts = [steps[first : first + every] for first in range(0, len(steps), every)]
        starts = []
        for part in parts:
            starts.append(tuple(t.to(self.states_device) for t in state) if self.states_device else state)
            state = run_steps(advance, state, part)[-1]
        value, adjoint = self.differentiate_loss(loss, state)
        grads: list[Step] = []
        for part in reversed(parts):
            first = tuple(t.to(value.device) for t in starts.pop())
            states = run_steps(advance, first, part[:-1])
            for step in reversed(part):
                grad, adjoint = self.pull_back_step(advance, states.pop(), step, adjoint)
                grads.append(grad)
        return value, grads[::-1]

    @staticmethod
    def differentiate_loss(loss: Loss, state: State) -> tuple[Tensor, list[Tensor]]:
        """The outer value and its gradient for the last state."""
        state = fresh_leaves(state)
        with torch.enable_grad():
            value = loss(state)
        return value.detach(), pull_back([value], state)

    @staticmethod
    def pull_back_step(
        advance: Advance, state: State, step: Step, adjoint: list[Tensor]
    ) -> tuple[Step, list[Tensor]]:
        """Invariant: adjoint = d value / d s_{t+1} comes in, (d value / d step_t, d value / d s_t) go out."""
        state, step = fresh_leaves(state), fresh_leaves(step)
        with torch.enable_grad():
            after = advance(state, step)
        flat = pull_back(after, [*step, *state], adjoint)
        return type(step)(*flat[: len(step)]), flat[len(step) :]


def choose_every(state: State, steps: int) -> int:
    """1, which stores all states, where they take at most MAX_STATES; else √T, which stores the fewest."""
    size = sum(t.nbytes for t in state)
    return 1 if size * steps <= MAX_STATES else max(1, round(steps**0.5))
