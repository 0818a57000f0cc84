"""Outer objectives that unroll nothing: what a partly trained network makes of real and of synthetic items.

Each takes a network that the set's own recipe has trained for a random number of its steps, without a graph,
and compares there. Learning rates get no gradient: the recipe keeps those that it was given.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from distill.inner.engines.base import run
from distill.inner.problem import Problem, State, Task
from distill.outer.synthetic import Synthetic

Named = dict[str, Tensor]


class Found(NamedTuple):
    """What an outer step learns: the outer loss, its gradient for each learned tensor, the loss of silence.

    silence is the loss of a network that gives every class the same answer.
    """

    loss: Tensor
    grads: Named
    silence: float = math.inf


Objective = Callable[[Synthetic, int], Found]  # of what is learned, at an outer step


def mean(found: Sequence[Found]) -> Found:
    """The mean of losses, gradients and silences."""
    grads = {name: torch.stack([f.grads[name] for f in found]).mean(dim=0) for name in found[0].grads}
    silence = sum(f.silence for f in found) / len(found)
    return Found(torch.stack([f.loss for f in found]).mean(), grads, silence)


Augment = Callable[[Tensor, torch.Generator], Tensor]


Comparison = Callable[[Problem, State, Synthetic, Task], Tensor]  # the synthetic items are augmented already


def comparing(
    problem: Problem,
    compare: Comparison,
    tasks: Callable[[int], Sequence[Task]],
    augment: Augment | None = None,
) -> Objective:
    """The objective that lowers compare(): the mean over the step's tasks."""

    def objective(synthetic: Synthetic, step: int) -> Found:
        return mean([found(synthetic, task) for task in tasks(step)])

    def found(synthetic: Synthetic, task: Task) -> Found:
        state = partly_trained(problem, synthetic, task)
        learned = {name: t.detach().requires_grad_() for name, t in synthetic.tensors().items()}
        seen = synthetic.replaced(learned)
        if augment is not None:
            seen = seen.replaced({**learned, "items": augment(learned["items"], task.generator)})
        value = compare(problem, state, seen, task)
        grads = torch.autograd.grad(value, list(learned.values()), allow_unused=True, materialize_grads=True)
        return Found(value.detach(), {name: g.detach() for name, g in zip(learned, grads, strict=True)})

    return objective


def partly_trained(problem: Problem, synthetic: Synthetic, task: Task) -> State:
    """The task's network after 0 … T of the set's own steps, as many as its generator draws."""
    with torch.no_grad():
        steps = synthetic.steps()
        age = int(torch.randint(len(steps) + 1, (), generator=task.generator))
        return run(problem.advance, task.state, steps[:age])[-1]


def owners(synthetic: Synthetic) -> Int[Tensor, " n"]:
    """The class that each synthetic item was started as: they go round."""
    n, classes = synthetic.labels.shape
    return torch.arange(n, device=synthetic.labels.device) % classes
