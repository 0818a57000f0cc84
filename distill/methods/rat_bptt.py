"""RaT-BPTT with a pool: gradients through short windows of a long training, from networks of all ages."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from distill.inner.losses import soft_cross_entropy
from distill.inner.problem import Problem, State
from distill.inner.rules import SGD
from distill.inner.step import Step
from distill.methods.base import Learnable, Named
from distill.methods.pool import Family
from distill.methods.visits import TEMPERATURE, PoolMethod, Visit, recommend_momentum
from distill.randomness import stream
from distill.registry import option

MOMENTUM, WEIGHT_DECAY = 0.9, 0.0005  # of the protocol dc, by which the pool's networks are trained


@dataclass(frozen=True)
class RaTBPTT(PoolMethod):
    """RaT-BPTT (Feng, Vedantam and Kempe 2024), whose random windows start from the networks of a pool.

    A visit continues the training of one network on the items by `pool_window` steps of the protocol dc (SGD
    with momentum and weight decay on the soft cross-entropy, the items changed at random), and differentiates
    the cross-entropy of τ · logits for a batch of real items through them; τ is learned. Then the network is
    trained for `pool_steps` steps without a graph. So a window may start after as many as pool_steps ·
    max_age steps, at no greater cost: sets that are learned so stay good however long students train.
    """

    anytime: ClassVar[bool] = True
    needs_shares: ClassVar[bool] = True
    choice_margin: ClassVar[float] = 0.02  # three students differ by as much
    outer_settings: ClassVar[dict[str, float]] = {"beta1": 0.9, "clip_norm": math.inf, "lr_floor": 0.1}
    outer_lrs: ClassVar[dict[str, float]] = {TEMPERATURE: 0.02}
    inner_loss = "soft-cross-entropy"
    relative_clip = 2.0

    pool_size: int = option(5, "COUNT", above=0, at_most=1000)
    """How many networks the pool has."""
    max_age: int = option(40, "VISITS", above=0, at_most=10**6)
    """After how many visits a network of the pool is replaced by a new one."""
    pool_steps: int = option(10, "STEPS", above=0, at_most=10**6)
    """For how many steps a visit trains its network on the items."""
    pool_window: int = option(8, "STEPS", above=0, at_most=10**4, cost=(40_000, "bytes"))
    """Through how many inner steps the outer gradient travels."""
    pool_lr: float = option(0.01, "LR", above=0, at_most=1e30)
    """The learning rate of the networks of the pool."""
    temperature: float = option(3.0, "FLOAT", above=0)
    """τ at the start: the factor of a network's logits in the outer loss; it is learned."""

    def family_of(self, problem: Problem, draw: Callable[[int], State]) -> Family:
        """The networks of a problem, which train as in the protocol dc."""
        changed = replace(problem, rule=SGD(MOMENTUM, WEIGHT_DECAY), inner_loss=soft_cross_entropy)
        return Family(changed, lambda number: changed.start(problem.weights(draw(number))), self.pool_lr)

    def learned_tensors(self) -> Named:
        return {TEMPERATURE: torch.tensor(math.log(self.temperature))}

    @property
    def student_augment(self) -> str:
        return self.augments()[0]

    def recommend(self) -> dict[str, Any]:
        return recommend_momentum(self.student_augment)

    def lr_end_for(self, problem: Problem) -> float:
        return 0.1

    def visit_loss(self, visit: Visit, synthetic: Learnable, step: int) -> Float[Tensor, ""]:
        """The outer loss at the end of the window of one network."""
        state = visit.state
        for inner_step in self.window_steps(visit, synthetic):
            state = visit.problem.advance(state, inner_step)
        log_temperature = synthetic.tensors().get(TEMPERATURE, self.learned_tensors()[TEMPERATURE])
        logits = log_temperature.exp() * visit.problem.logits(state, visit.task.x)
        return F.cross_entropy(logits, visit.task.y)

    def window_steps(self, visit: Visit, synthetic: Learnable) -> list[Step]:
        """The inner steps of a window, at the place in the set's own steps where a network of an age is."""
        steps, generator = synthetic.steps(), stream("window", visit.task.generator.initial_seed())
        first, lr = visit.age * self.pool_steps, torch.tensor(visit.family.lr)
        rows = [steps[(first + i) % len(steps)] for i in range(self.pool_window)]
        return [
            row._replace(x=visit.pool.change(visit.place, row.x, generator), lr=lr.to(row.y)) for row in rows
        ]
