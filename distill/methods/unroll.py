"""The loss after inner training, differentiated through all of it."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from distill.inner.engines.base import Engine
from distill.inner.problem import Problem, Task
from distill.methods.base import Named, Objective, OuterGradient, mean
from distill.outer.synthetic import Synthetic


def bilevel(
    problem: Problem,
    engine: Engine,
    tasks: Callable[[int], Sequence[Task]],
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = None,
) -> Objective:
    """The loss after inner training, differentiated through it: the mean over the step's tasks.

    augment(x, generator) changes the items of each inner step, differentiably.
    """

    def objective(synthetic: Synthetic, step: int) -> OuterGradient:
        return mean([found(synthetic, task) for task in tasks(step)])

    def found(synthetic: Synthetic, task: Task) -> OuterGradient:
        value, grads = meta_gradient(problem, synthetic, engine, task, augment)
        return OuterGradient(value, grads, problem.uniform_loss(task.y, synthetic.labels.shape[1]))

    return objective


def meta_gradient(
    problem: Problem,
    synthetic: Synthetic,
    engine: Engine,
    task: Task,
    augment: Callable[[Tensor, torch.Generator], Tensor] | None = None,
) -> tuple[Tensor, Named]:
    """The outer loss of one task and its gradient for each learned tensor.

    The engine answers per step; one backward carries that through the labels' and rates' maps.
    """
    learned = {name: t.detach().requires_grad_() for name, t in synthetic.tensors().items()}
    steps = synthetic.replace_tensors(learned).steps()
    if augment is not None:
        steps = [step._replace(x=augment(step.x, task.generator)) for step in steps]
    value, grads = engine.gradient(
        problem.advance, task.state, steps, lambda s: problem.loss(s, task.x, task.y), task.generator
    )
    pairs = [(t, g) for s, d in zip(steps, grads, strict=True) for t, g in zip(s, d, strict=True)]
    live = [(t, g) for t, g in pairs if t.requires_grad]
    found = torch.autograd.grad([t for t, _ in live], list(learned.values()), [g for _, g in live])
    return value, dict(zip(learned, found, strict=True))
