"""BPTT: the loss after inner training, differentiated through all of it or a part of it."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from distill.errors import UserError
from distill.inner import INNER_LOSSES, OUTER_LOSSES
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
from distill.methods.cuda_graph import Recorder
from distill.registry import find, option

DOUBLED_AT = (250, 700, 2000)  # outer steps


@dataclass(frozen=True)
class BPTT(Method):
    """Back-propagation through the inner training (Wang et al. 2018; Sucholutsky and Schonlau 2019).

    The engine says how the gradient travels back: exactly, in less memory, or through a window of the steps.
    With horizons, Truncated(20) and relative_clip=2 it is RaT-BPTT (Feng, Vedantam and Kempe 2024).
    """

    unrolls = True
    learns_rates = True
    engine: Engine = field(default_factory=Unroll)
    inner_loss: str | None = option(None, "LOSS", choices=INNER_LOSSES, noun="inner loss")
    """The loss by which a network trains on the items (default: squared-error for a random convnet, unless
    --labels says otherwise; that of the set of --start; else soft-cross-entropy)."""
    outer_loss: str | None = option(None, "LOSS", choices=OUTER_LOSSES, noun="outer loss")
    """The loss on real items (default: best-temperature for embeddings of texts by adam, else that of the
    problem: cross-entropy)."""
    start_scale: float | None = option(None, "FACTOR", above=0, at_most=1000)
    """Labels start at so many times the shares of their classes; with the squared error, of one-hot less the
    mean (default: 10 where random with that, 8 for a known lenet or mlp of two minutes, else 1)."""
    min_horizon: int | None = option(None, "STEPS", above=0, at_most=10**5, cost=(40_000, "bytes"))
    """The fewest inner steps that an outer step makes: each draws a number between this and --max-horizon
    (default: T)."""
    max_horizon: int | None = option(None, "STEPS", above=0, at_most=10**5, cost=(40_000, "bytes"))
    """The most inner steps that an outer step makes; beyond T, items come round again at the last learning
    rate. Trained for longer than T, the set stays good (default: 3 T for a random convnet and bounded
    labels, else T)."""
    step_doublings: int | None = option(None, "K", at_least=0, at_most=3)
    """Begin with T / 2^K inner steps, each at the rates of the 2^K that it stands for, and halve them into
    more, up to T, in the first 250, 700 and 2,000 outer steps: quicker steps while most is to learn. For
    batches of all items (default: 0)."""
    lr_end: float | None = option(None, "SHARE", above=0, at_most=1)
    """The last learning rate at the start, as a share of --lr; between them half a cosine (default: 0.01 for
    embeddings of texts by adam, as the protocol adam has it; else 1)."""
    relative_clip: float | None = option(None, "FACTOR", at_least=1, at_most=1000)
    """Clip outer gradients to this multiple of the running mean of their norms, as 2, instead of to a fixed
    norm."""
    cuda_graph: bool = option(False)
    """Record the outer gradient once, and launch its kernels together: on a GPU, whose time goes into
    launching them where a network is small (7.7 times as fast for a LeNet of ten steps)."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.min_horizon and self.max_horizon and self.min_horizon > self.max_horizon:
            raise UserError(
                f"min_horizon is {self.min_horizon}, max_horizon {self.max_horizon}: the fewest inner steps"
                " must not exceed the most"
            )

    def check_steps(self, steps: int) -> None:
        """Raise UserError where no horizon reaches the recipe's end, or doubled steps do not make it up."""
        if self.step_doublings and steps % 2**self.step_doublings:
            raise UserError(
                f"--step-doublings {self.step_doublings} needs inner steps that {2**self.step_doublings}"
                f" divides, not {steps}: give fewer, or other --inner-steps"
            )
        if self.max_horizon and self.max_horizon < steps:
            raise UserError(
                f"--max-horizon {self.max_horizon} is below the {steps} inner steps, the last of which would"
                " not be learned: give a larger one, or fewer --inner-steps"
            )

    def lr_end_for(self, problem: Problem) -> float:
        return self.lr_end or 1.0

    @property
    def restarts(self) -> tuple[int, ...]:
        return DOUBLED_AT[: self.step_doublings or 0]

    def merged_steps(self, step: int) -> int:
        return int(2 ** sum(step < boundary for boundary in self.restarts))

    def draw_horizon(self, steps: int, generator: torch.Generator, merged: int = 1) -> int:
        """How many inner steps a task makes: T, or uniform between the two horizons.

        merged: as many steps of the recipe, which the horizons count, are one of these T.
        """
        return max(1, self.draw_whole_horizon(steps * merged, generator) // merged)

    def draw_whole_horizon(self, steps: int, generator: torch.Generator) -> int:
        """As draw_horizon(), of the recipe's own steps."""
        least, most = self.min_horizon or steps, max(self.max_horizon or steps, self.min_horizon or 0)
        if least == most:
            return most
        return int(torch.randint(least, most + 1, (), generator=generator))

    def objective(self, problem: Problem, tasks: Tasks, augment: Augment | None = None) -> Objective:
        if self.outer_loss:
            problem = replace(problem, outer_loss=find(OUTER_LOSSES, "outer loss", self.outer_loss))
        gradient = Recorder(meta_gradient) if self.cuda_graph else meta_gradient

        def objective(synthetic: Any, step: int) -> OuterGradient:
            at_step = getattr(self.engine, "at_step", None)
            engine, merged = at_step(step) if at_step else self.engine, self.merged_steps(step)
            synthetic = synthetic if merged == 1 else synthetic.merge(merged)
            draw_horizon = partial(self.draw_horizon, merged=merged)
            return bilevel(problem, engine, tasks, augment, draw_horizon, gradient)(synthetic, step)

        return objective


DrawHorizon = Callable[[int, torch.Generator], int]  # of T and the task's generator
Gradient = Callable[..., tuple[Tensor, Named]]  # of the arguments of meta_gradient()


def bilevel(
    problem: Problem,
    engine: Engine,
    tasks: Tasks,
    augment: Augment | None = None,
    draw_horizon: DrawHorizon | None = None,
    gradient: Gradient | None = None,
) -> Objective:
    """The loss after inner training, differentiated through it: the mean over the step's tasks.

    augment(x, generator) changes the items of each inner step, differentiably. draw_horizon says how many
    steps a task makes; without it they are those of the recipe. gradient is another way to meta_gradient().
    """
    differentiate = gradient or meta_gradient

    def task_gradient(synthetic: Any, task: Task) -> OuterGradient:
        horizon = draw_horizon(synthetic.step_count, task.generator) if draw_horizon else None
        value, gradients = differentiate(problem, synthetic, engine, task, augment, horizon)
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
    horizon: int | None = None,
) -> tuple[Tensor, Named]:
    """The outer loss of one task after `horizon` steps, or all, and its gradient for each learned tensor.

    The engine answers per step; one backward pass carries that through the maps of labels and rates.
    augment(x, generator) changes the items of each inner step anew, differentiably.
    """
    learned = {name: t.detach().requires_grad_() for name, t in synthetic.tensors().items()}
    steps = synthetic.replace_tensors(learned).steps(horizon)
    if augment is not None:
        steps = [step._replace(x=augment(step.x, task.generator)) for step in steps]
    value, step_gradients = engine.gradient(
        problem.advance, task.state, steps, lambda s: problem.loss(s, task.x, task.y), task.generator
    )
    pairs = [(t, g) for s, d in zip(steps, step_gradients, strict=True) for t, g in zip(s, d, strict=True)]
    tensors, cotangents = zip(*[(t, g) for t, g in pairs if t.requires_grad], strict=True)
    gradients = torch.autograd.grad(tensors, list(learned.values()), cotangents)
    return value, dict(zip(learned, gradients, strict=True))
