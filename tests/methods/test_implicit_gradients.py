"""RCIG: implicit gradients against finite differences, unrolled training and numpy; what is refused."""

import math
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distill.commands.image import main as image
from distill.errors import NetworkError
from distill.inner.losses import squared_error
from distill.inner.problem import Problem, State, Task
from distill.inner.rules import SGD
from distill.methods.implicit_gradients import (
    RCIG,
    InnerProblem,
    LinearNetwork,
    conjugate_gradients,
    replace_relus,
)
from distill.methods.kernel_ridge import regress
from distill.methods.pool import Family
from distill.networks import IMAGES, SEQUENCES
from distill.networks.build import build_network
from distill.networks.initial import draw_weights
from distill.outer.loop import OuterOptimizer, OuterState, descend, initial_state
from distill.outer.starts import start_lrs
from distill.outer.synthetic import Synthetic, cyclic_schedule
from distill.randomness import stream
from distill.sets.distilled import DistilledSet
from tests.contracts import UNROLLED_NETWORKS, build_small, choose_small_shape
from tests.helpers import CLASSES, SHAPE, small_problem, small_weights, waves, write_npz


def draw_state(i: int) -> State:
    problem = small_problem(SGD(0.9))
    return problem.start(small_weights(problem, i))


FAMILY = Family(replace(small_problem(SGD(0.9)), inner_loss=squared_error), draw_state, 0.01)
EXACT = RCIG(
    pool_size=3, max_age=4, pool_steps=2, families=(FAMILY,), ridge=0.1, solver_steps=200, tolerance=1e-13
)
OUTER = OuterOptimizer(
    lr={"items": 0.03, "labels": 0.01, "lrs": 0.0, "log_temperature": 0.03}, clip_norm=math.inf, beta1=0.9,
    average_decay=0.9, warmup=1,
)  # fmt: skip


def make_synthetic(n: int = CLASSES) -> Synthetic:
    labels = (torch.eye(CLASSES, dtype=torch.float64) - 1 / CLASSES).repeat(2, 1)[:n]
    lrs, schedule = start_lrs(0.01, 4, None).double(), cyclic_schedule(n, n, 4)
    extra = {"log_temperature": torch.tensor(1.0).double()}
    return Synthetic(waves(n, *SHAPE), labels, lrs, schedule, "soft", 10.0, extra)


def draw_tasks(step: int) -> list[Task]:
    """Real items that differ from visit to visit."""
    x = waves(6, *SHAPE, phase=10 * step)
    return [Task((), x, torch.tensor([0, 1, 2, 0, 1, 2]), stream("visit", step))]


def make_inner(method: RCIG = EXACT) -> InnerProblem:
    data = make_synthetic()
    return InnerProblem(LinearNetwork(small_problem(), draw_state(0)), data.items, data.labels, method)


def jacobian(x: Tensor, state: State) -> Tensor:
    """J(x) (b · classes, weights) by torch.func."""
    problem = small_problem()
    rows = torch.func.jacrev(lambda weights: problem.logits(weights, x))(state[: len(problem.names)])
    return torch.cat([row.reshape(len(x) * CLASSES, -1) for row in rows], dim=1)


@pytest.mark.parametrize("flips", [False, True])
@pytest.mark.parametrize("name", ["items", "labels", "log_temperature"])
def test_every_gradient_agrees_with_finite_differences_through_a_converged_solution(
    name: str, flips: bool
) -> None:
    data, method = make_synthetic(), replace(EXACT, flips=flips)
    objective = method.objective(small_problem(), draw_tasks)
    tensor = data.tensors()[name]
    direction = torch.cos(torch.arange(tensor.numel()).double()).reshape(tensor.shape)
    above, below = (
        objective(data.replace_tensors({name: tensor + sign * 1e-5 * direction}), 0).loss for sign in (1, -1)
    )
    slope = (objective(data, 0).gradients[name] * direction).sum()
    assert abs(float(slope)) > 1e-4
    torch.testing.assert_close(slope, (above - below) / 2e-5, rtol=1e-5, atol=1e-9)


def test_the_gradient_is_that_of_a_long_unrolled_training_of_the_linear_network() -> None:
    """Gradient descent on the inner problem, by the whole Jacobian, differentiated through every step."""
    data, task, state = make_synthetic(), draw_tasks(0)[0], draw_state(0)
    items, labels = (t.clone().requires_grad_() for t in (data.items, data.labels))
    jacobian_of_items, real, problem = jacobian(items, state), jacobian(task.x, state), small_problem()
    features = problem.features(state, items)
    penalty = EXACT.ridge * (features**2).sum() / len(items)
    weights = torch.zeros(real.shape[1], dtype=torch.float64)
    rate = 1 / (torch.linalg.matrix_norm(jacobian_of_items.detach(), 2) ** 2 + penalty.detach())
    for _ in range(3000):
        residual = jacobian_of_items @ weights - labels.flatten()
        weights = weights - rate * (jacobian_of_items.T @ residual + penalty * weights)
    loss = F.cross_entropy(math.e * (real @ weights).view(-1, CLASSES), task.y)
    unrolled = torch.autograd.grad(loss, (items, labels))
    result = EXACT.objective(problem, draw_tasks)(data, 0)
    torch.testing.assert_close(result.loss, loss.detach(), rtol=1e-8, atol=0)
    for name, expected in zip(("items", "labels"), unrolled, strict=True):
        torch.testing.assert_close(result.gradients[name], expected, rtol=1e-6, atol=1e-10)
