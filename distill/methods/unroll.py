"""BPTT: the loss after inner training, differentiated through all of it or a part of it."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from distill.inner.engines.base import Engine
from distill.inner.engines.unroll import Unroll
from distill.inner.problem import Problem, Task
from distill.methods.base import (
    Augment,
    Learnable,
    Method,
    Named,
    Objective,
    OuterGradient,
    Tasks,
    mean_gradient,
)


@dataclass(frozen=True)
class BPTT(Method):
    """Back-propagation through the inner training (Wang et al. 2018; Sucholutsky and Schonlau 2019).

    The engine says how the gradient travels back: exactly, in less memory, or through a window of the steps.
    """

    unrolls = True
    engine: Engine = field(default_factory=Unroll)

    def objective(self, problem: Problem, tasks: Tasks, augment: Augment | None = None) -> Objective:
        def objective(synthetic: Any, step: int) -> OuterGradient:
            at_step = getattr(self.engine, "at_step", None)
            engine = at_step(step) if at_step else self.engine
            return bilevel(problem, engine, tasks, augment)(synthetic, step)

        return objective


def bilevel(problem: Problem, engine: Engine, tasks: Tasks, augment: Augment | None = None) -> Objective:
    """The loss after inner training, differentiated through it: the mean over the step's tasks.

    augment(x, generator) changes the items of each inner step, differentiably.
    """

    def task_gradient(synthetic: Any, task: Task) -> OuterGradient:
        value, gradients = meta_gradient(problem, synthetic, engine, task, augment)
        return OuterGradient(value, gradients, problem.uniform_loss(task.y, synthetic.labels.shape[1]))

    def objective(synthetic: Any, step: int) -> OuterGradient:
        return mean_gradient([task_gradient(synthetic, task) for task in tasks(step)])

    return objective


def meta_gradient(
    problem: Problem,
    synthetic: Learnable,
    engine: Engine,
    task: Task,
    augment: Augment | None = None,
) -> tuple[Tensor, Named]:
    """The outer loss of one task and its gradient for each learned tensor.

    The engine answers per step; one backward pass carries that through the maps of labels and rates.
    """
    learned = {name: t.detach().requires_grad_() for name, t in synthetic.tensors().items()}
    steps = synthetic.replace_tensors(learned).steps()
    if augment is not None:
        steps = [step._replace(x=augment(step.x, task.generator)) for step in steps]
    value, step_gradients = engine.gradient(
        problem.advance, task.state, steps, lambda s: problem.loss(s, task.x, task.y), task.generator
    )
    pairs = [(t, g) for s, d in zip(steps, step_gradients, strict=True) for t, g in zip(s, d, strict=True)]
    tensors, cotangents = zip(*[(t, g) for t, g in pairs if t.requires_grad], strict=True)
    gradients = torch.autograd.grad(tensors, list(learned.values()), cotangents)
    return value, dict(zip(learned, gradients, strict=True))
