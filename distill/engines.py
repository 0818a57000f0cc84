"""Engines: how the outer gradient travels back through the inner steps. They know no network.

Notation, as in Wang et al. 2018 and Maclaurin et al. 2015: states s_0 … s_T are tuples of
tensors, s_{t+1} = advance(s_t, step_t), and the value is loss(s_T). Every engine returns
(value, [d value / d step_t for t = 0 … T-1]), each gradient shaped like its step.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

State = tuple[Tensor, ...]
Step = Any  # any NamedTuple of tensors: an engine hands back the same type, filled with gradients
Advance = Callable[[State, Step], State]
Loss = Callable[[State], Tensor]
Gradient = tuple[Tensor, list[Step]]


@runtime_checkable
class Engine(Protocol):
    """d outer / d step, nothing else. Cost and memory are what tell the leaves apart."""

    def gradient(
        self,
        advance: Advance,
        state: State,
        steps: Sequence[Step],
        loss: Loss,
        generator: torch.Generator | None = None,
    ) -> Gradient:
        """The value of loss after all steps from state, and its gradient for each step."""


def leaves(tensors: tuple[Tensor, ...]) -> Any:
    """The same tuple type with fresh leaves: the same tensor at two steps must not share a gradient."""
    fresh = [t.detach().requires_grad_(t.is_floating_point()) for t in tensors]
    return type(tensors)(*fresh) if hasattr(tensors, "_fields") else tuple(fresh)


def pull(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor], cotangents: Sequence[Tensor] | None = None
) -> list[Tensor]:
    """d outputs / d inputs contracted with cotangents; zeros where nothing flows."""
    if cotangents is not None:
        live = [(o, c) for o, c in zip(outputs, cotangents, strict=True) if o.requires_grad]
        outputs, cotangents = [o for o, _ in live], [c for _, c in live]
    if not outputs:
        return [torch.zeros_like(t) for t in inputs]
    return list(torch.autograd.grad(outputs, inputs, cotangents, allow_unused=True, materialize_grads=True))


def run(advance: Advance, state: State, steps: Sequence[Step]) -> list[State]:
    """The states before, between and after the steps, without a graph."""
    states = [state]
    with torch.no_grad():
        for step in steps:
            states.append(advance(states[-1], step))
    return states


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
        steps = [leaves(step) for step in steps]
        with torch.enable_grad():
            for step in steps:
                state = advance(state, step)
            value = loss(state)
        flat = iter(pull([value], [t for step in steps for t in step]))
        return value.detach(), [type(step)(*(next(flat) for _ in step)) for step in steps]


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


@dataclass(frozen=True)
class Higher:
    """The `higher` package (Grefenstette et al. 2019) unrolling any torch.optim optimiser.

    Steps must be (x, y, lr). It brings its own inner step: `optimiser` builds a torch optimiser
    over parameter groups, and `advance` is not used. So it serves any optimiser that higher
    knows, and it checks our other engines independently. Its Adam adds eps before the bias
    correction of the second moment, as torch did in 2019: a difference of the order of eps.
    """

    network: nn.Module
    inner_loss: Callable[[Tensor, Tensor], Tensor]
    optimiser: Callable[[list[dict[str, Any]]], torch.optim.Optimizer]

    def gradient(
        self,
        advance: Advance,
        state: State,
        steps: Sequence[Step],
        loss: Loss,
        generator: torch.Generator | None = None,
    ) -> Gradient:
        import higher

        steps = [leaves(step) for step in steps]
        groups = [{"params": [p], "lr": 1.0} for p in self.network.parameters()]
        weights = [w.detach().requires_grad_() for w in state[: len(groups)]]
        with (
            torch.enable_grad(),
            higher.innerloop_ctx(self.network, self.optimiser(groups)) as (network, optimiser),
        ):
            network.update_params(weights)
            for step in steps:
                inner = self.inner_loss(network(step.x), step.y)
                optimiser.step(inner, override={"lr": list(step.lr.expand(len(groups)))})
            value = loss(tuple(network.parameters(time=-1)))
            flat = iter(pull([value], [t for step in steps for t in step]))
        return value.detach(), [type(step)(*(next(flat) for _ in step)) for step in steps]
