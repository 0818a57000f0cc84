"""Engine: the contract of every engine's file, and what engines share.

Notation, as in Wang et al. 2018 and Maclaurin et al. 2015: states s_0 … s_T are tuples of
tensors, s_{t+1} = advance(s_t, step_t), and the value is loss(s_T). Every engine returns
(value, [d value / d step_t for t = 0 … T-1]), each gradient shaped like its step.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from distill.inner.engines import ENGINES
from distill.registry import find

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


def fresh_leaves(tensors: tuple[Tensor, ...]) -> Any:
    """The same tuple type with fresh leaves: the same tensor at two steps must not share a gradient."""
    fresh = [t.detach().requires_grad_(t.is_floating_point()) for t in tensors]
    return type(tensors)(*fresh) if hasattr(tensors, "_fields") else tuple(fresh)


def pull_back(
    outputs: Sequence[Tensor], inputs: Sequence[Tensor], cotangents: Sequence[Tensor] | None = None
) -> list[Tensor]:
    """d outputs / d inputs contracted with cotangents; zeros where nothing flows."""
    if cotangents is not None:
        live = [(o, c) for o, c in zip(outputs, cotangents, strict=True) if o.requires_grad]
        outputs, cotangents = [o for o, _ in live], [c for _, c in live]
    leaves = [t for t in inputs if t.requires_grad]  # not the buffers of whole numbers in a state
    if not outputs:
        return [torch.zeros_like(t) for t in inputs]
    gradients = iter(
        torch.autograd.grad(outputs, leaves, cotangents, allow_unused=True, materialize_grads=True)
    )
    return [next(gradients) if t.requires_grad else torch.zeros_like(t) for t in inputs]


def run_steps(advance: Advance, state: State, steps: Sequence[Step]) -> list[State]:
    """The states before, between and after the steps, without a graph."""
    states = [state]
    with torch.no_grad():
        for step in steps:
            states.append(advance(states[-1], step))
    return states


def build_engine(word: str, problem: Any, options: Mapping[str, Any]) -> Engine:
    """The engine of a word of ENGINES with these options. Raises UserError for a word that is none."""
    engine_class = find(ENGINES, "engine", word)
    for_problem = getattr(engine_class, "for_problem", None)
    engine: Engine = for_problem(problem, **options) if for_problem else engine_class(**options)
    return engine
