"""Truncated: only a window of the inner steps is differentiated."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch

from distill.inner.engines.base import Advance, Engine, Gradient, Loss, State, Step, run
from distill.inner.engines.unroll import Unroll


@dataclass(frozen=True)
class Truncated:
    """Only a window of the steps is differentiated; the others get zero gradients (biased, cheap).

    at="last": all steps are run, the last `window` of them are differentiated.
    at="random": the run stops at a uniformly drawn step and the `window` before it is
    differentiated (random truncation: Feng et al. 2024, RaT-BPTT); needs a generator.
    reach: only so many of the steps are looked at, for a run that grows longer.
    """

    window: int
    at: str = "last"
    inner: Engine = field(default_factory=Unroll)
    reach: int | None = None

    def gradient(
        self,
        advance: Advance,
        state: State,
        steps: Sequence[Step],
        loss: Loss,
        generator: torch.Generator | None = None,
    ) -> Gradient:
        start, stop = self.place(min(len(steps), self.reach or len(steps)), generator)
        for step in steps[:start]:
            state = run(advance, state, [step])[-1]
        value, grads = self.inner.gradient(advance, state, steps[start:stop], loss, generator)
        zeros = [type(step)(*(torch.zeros_like(t) for t in step)) for step in steps]
        return value, [*zeros[:start], *grads, *zeros[stop:]]

    def place(self, total: int, generator: torch.Generator | None) -> tuple[int, int]:
        """The first step of the window and the one behind its last."""
        window = min(self.window, total)
        stop = total
        if self.at == "random":
            stop = int(torch.randint(window, total + 1, (), generator=generator))
        return stop - window, stop
