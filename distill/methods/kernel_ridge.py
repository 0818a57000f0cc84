"""FRePo: kernel ridge regression on the features of networks from a pool."""

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from distill.inner.problem import Problem, State, Task
from distill.methods.base import (
    Augment,
    ComparisonMethod,
    Learnable,
    Named,
    Objective,
    OuterGradient,
    Tasks,
    gradients_of,
    mean_gradient,
)
from distill.methods.pool import Pool, RegressionPoolMethod
from distill.randomness import stream
from distill.registry import option

PRECISIONS = {
    "auto": "bfloat16 on a CPU that computes with it, else float32",
    "bfloat16": "twice as fast; features change by half a percent",
    "float32": "as the items are",
}
CHUNK = 128  # real items that are forwarded at once: more do not fit into a CPU's cache (158 ms for 204)


@dataclass(frozen=True)
class FRePo(RegressionPoolMethod, ComparisonMethod):
    """FRePo (Zhou, Nezhadarya and Ba 2022) with the loss of RCIG (Loo et al. 2023).

    A ridge regression on the features of the synthetic items, from their labels L, answers for real items:
    A = K_ts (K_ss + λ I)⁻¹ L with K the inner products, λ = ridge · tr K_ss / n. The loss is the
    cross-entropy of τ · A, where the temperature τ is learned too. The features are those of networks from a
    pool, each trained on the items for as many visits as it is old. A visit forwards one batch of real items
    without a graph; then the items are updated `updates` times by these features, and the network is trained
    for `pool_steps` steps by squared error to label_scale · L.
    """

    ridge: float = option(1e-6, "FLOAT", above=0)
    """λ of the ridge regression, as a share of the mean of its kernel's diagonal."""
    updates: int = option(5, "STEPS", above=0, at_most=10**6)
    """How often the items are updated in a visit, by features of the same real items."""
    precision: str = option("auto", "NUMBERS", choices=PRECISIONS)
    """The numbers by which real items are forwarded."""

    def compare(self, problem: Problem, state: State, synthetic: Learnable, task: Task) -> Float[Tensor, ""]:
        with torch.no_grad():
            real_features = problem.features(state, task.x)
        return self.regression_loss(problem, state, synthetic, real_features, task.y)

    def regression_loss(
        self,
        problem: Problem,
        state: State,
        synthetic: Learnable,
        real_features: Float[Tensor, "batch width"],
        y: Int[Tensor, " batch"],
    ) -> Float[Tensor, ""]:
        """The cross-entropy of the regression's answers for real items of these features and classes."""
        items, labels = self.regressed(synthetic)
        answers = regress(problem.features(state, items), labels, real_features, self.ridge)
        return F.cross_entropy(self.factor(synthetic) * answers, y)

    def objective(self, problem: Problem, tasks: Tasks, augment: Augment | None = None) -> Objective:
        families = self.families or (self.family_of(problem, lambda number: tasks(number)[0].state),)
        return PoolObjective(self, self.pool_of(families), tasks, augment)


@dataclass
class PoolObjective:
    """The objective of FRePo: a function of the set, the outer step and the pool's memory.

    The real items' features are kept during a visit; a run that goes on in its midst computes them anew, to
    the same bits, from the network in the memory.
    """

    method: FRePo
    pool: Pool
    tasks: Tasks
    augment: Augment | None = None
    visit: int = -1
    visit_tasks: tuple[tuple[int, Task, Tensor], ...] = ()

    def __call__(self, synthetic: Any, step: int, memory: Named | None = None) -> OuterGradient:
        memory = memory or self.pool.start()
        visit = step // self.method.updates
        if visit != self.visit:
            self.visit, self.visit_tasks = visit, self.begin_visit(visit, memory)
        result = mean_gradient(
            [self.differentiate(synthetic, memory, step, *parts) for parts in self.visit_tasks]
        )
        if (step + 1) % self.method.updates == 0:
            memory = self.end_visit(synthetic, memory)
        return result._replace(memory=memory)

    def begin_visit(self, visit: int, memory: Named) -> tuple[tuple[int, Task, Tensor], ...]:
        """Each network of a visit: its place, its real items and their features."""
        tasks, parts = self.tasks(visit), []
        for i, task in enumerate(tasks):
            place = self.pool.place_of(visit * len(tasks) + i)
            state, problem = self.pool.state(memory, place), self.pool.family(place).problem
            parts.append((place, task, forward_real(problem, state, task.x, self.method.precision)))
        return tuple(parts)

    def differentiate(
        self, synthetic: Any, memory: Named, step: int, place: int, task: Task, features: Tensor
    ) -> OuterGradient:
        """The loss by one network, and its gradient."""
        generator = stream("items", task.generator.initial_seed(), step)
        problem, state = self.pool.family(place).problem, self.pool.state(memory, place)
        learned = {name: t.detach().requires_grad_() for name, t in synthetic.tensors().items()}
        variables = synthetic.replace_tensors(learned)
        if self.augment is not None:
            items = self.augment(variables.items, generator)
            variables = variables.replace_tensors({**learned, "items": items})
        value = self.method.regression_loss(problem, state, variables, features, task.y)
        uniform = math.log(synthetic.labels.shape[1])
        return OuterGradient(value.detach(), gradients_of(value, learned), uniform)

    def end_visit(self, synthetic: Any, memory: Named) -> Named:
        """The memory after the networks of the visit have been trained on the items."""
        with torch.no_grad():
            steps = synthetic.steps()
        for place, _, _ in self.visit_tasks:
            memory = self.pool.train(memory, place, steps)
        return memory


@torch.no_grad()
def forward_real(problem: Problem, state: State, x: Tensor, precision: str) -> Float[Tensor, "batch width"]:
    """The features of real items, chunk by chunk, in a precision of PRECISIONS."""
    dtype = x.dtype
    if dtype == torch.float32 and (precision == "bfloat16" or (precision == "auto" and has_bfloat16(x))):
        x = x.bfloat16()
        state = tuple(t.bfloat16() if t.is_floating_point() else t for t in state)
    return torch.cat([problem.features(state, part) for part in x.split(CHUNK)]).to(dtype)


def has_bfloat16(x: Tensor) -> bool:
    """Whether a tensor is on a CPU that computes with bfloat16 numbers."""
    supports = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return x.device.type == "cpu" and bool(supports())


def regress(
    features: Float[Tensor, "n width"],
    labels: Float[Tensor, "n classes"],
    real_features: Float[Tensor, "batch width"],
    ridge: float,
) -> Float[Tensor, "batch classes"]:
    """The answers of a ridge regression: K_ts (K_ss + λ I)⁻¹ L with λ = ridge · tr K_ss / n."""
    kernel = features @ features.T
    identity = torch.eye(len(kernel), dtype=kernel.dtype, device=kernel.device)
    penalty = ridge * kernel.diagonal().mean() * identity
    return real_features @ features.T @ torch.linalg.solve(kernel + penalty, labels)
