"""Truncated: only a window of the inner steps is differentiated."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch

from distill.errors import UserError, quote
from distill.inner.engines.base import Advance, Engine, Gradient, Loss, State, Step, run_steps
from distill.inner.engines.unroll import Unroll
from distill.registry import check_options, option, python_name


@dataclass(frozen=True)
class Truncated:
    """Only a window of the steps is differentiated; the others get zero gradients (biased, cheap).

    window_at="last": all steps are run, the last `window` of them are differentiated.
    window_at="random": the run stops at a uniformly drawn step and the `window` before it is
    differentiated (random truncation: Feng et al. 2024, RaT-BPTT); needs a generator.
    """

    window: int = option(15, "STEPS", above=0)
    """How many inner steps are differentiated."""
    window_at: str = option("last", "PLACE", choices=("last", "random"), noun="place")
    """Differentiate the last steps, or a window that ends at a random step, where the training then stops."""
    grow_over: int | None = option(None, "STEPS", above=0)
    """Outer steps over which the inner training grows from the window to all its steps."""
    inner: Engine = field(default_factory=Unroll)
    growth: float = 1.0  # the share of that growth that is done

    def __post_init__(self) -> None:
        check_options(self, python_name)
        if isinstance(self.inner, type) or not isinstance(self.inner, Engine):
            raise UserError(f"inner is {quote(self.inner)}: give an engine, as Unroll()")

    def at_step(self, step: int) -> "Truncated":
        """The engine of an outer step: with grow_over, more and more of the inner steps are run."""
        return replace(self, growth=min(1.0, step / self.grow_over)) if self.grow_over else self

    def gradient(
        self,
        advance: Advance,
        state: State,
        steps: Sequence[Step],
        loss: Loss,
        generator: torch.Generator | None = None,
    ) -> Gradient:
        start, stop = self.place_window(len(steps), generator)
        for step in steps[:start]:
            state = run_steps(advance, state, [step])[-1]
        value, grads = self.inner.gradient(advance, state, steps[start:stop], loss, generator)
        zeros = [type(step)(*(torch.zeros_like(t) for t in step)) for step in steps]
        return value, [*zeros[:start], *grads, *zeros[stop:]]

    def place_window(self, steps: int, generator: torch.Generator | None) -> tuple[int, int]:
        """The first step of the window and the one behind its last."""
        window = min(self.window, steps)
        stop = window + round(self.growth * (steps - window))
        if self.window_at == "random":
            stop = int(torch.randint(window, stop + 1, (), generator=generator))
        return stop - window, stop
