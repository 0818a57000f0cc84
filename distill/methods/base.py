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


class OuterGradient(NamedTuple):
    """What an outer step learns: the outer loss, its gradient for each learned tensor, the uniform loss.

    uniform_loss is the loss of a network that gives every class the same answer.
    """

    loss: Tensor
    gradients: Named
    uniform_loss: float = math.inf


Objective = Callable[[Synthetic, int], OuterGradient]  # of what is learned, at an outer step


def mean(found: Sequence[OuterGradient]) -> OuterGradient:
    """The mean of losses, gradients and uniform losses."""
    grads = {name: torch.stack([f.gradients[name] for f in found]).mean(dim=0) for name in found[0].gradients}
    uniform_loss = sum(f.uniform_loss for f in found) / len(found)
    return OuterGradient(torch.stack([f.loss for f in found]).mean(), grads, uniform_loss)


Augment = Callable[[Tensor, torch.Generator], Tensor]


Comparison = Callable[[Problem, State, Synthetic, Task], Tensor]  # the synthetic items are augmented already


def comparing(
    problem: Problem,
    compare: Comparison,
    tasks: Callable[[int], Sequence[Task]],
    augment: Augment | None = None,
) -> Objective:
    """The objective that lowers compare(): the mean over the step's tasks."""

    def objective(synthetic: Synthetic, step: int) -> OuterGradient:
        return mean([found(synthetic, task) for task in tasks(step)])

    def found(synthetic: Synthetic, task: Task) -> OuterGradient:
        state = partly_trained(problem, synthetic, task)
        learned = {name: t.detach().requires_grad_() for name, t in synthetic.tensors().items()}
        seen = synthetic.replace_tensors(learned)
        if augment is not None:
            seen = seen.replace_tensors({**learned, "items": augment(learned["items"], task.generator)})
        value = compare(problem, state, seen, task)
        grads = torch.autograd.grad(value, list(learned.values()), allow_unused=True, materialize_grads=True)
        return OuterGradient(
            value.detach(), {name: g.detach() for name, g in zip(learned, grads, strict=True)}
        )

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
