"""RaT-BPTT with a pool: gradients through short windows of a long training, from networks of all ages."""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from distill.inner.memory.autocast import outer_precision
from distill.inner.problem import Problem
from distill.inner.rules import SGD, Adam, Rule
from distill.inner.step import Step
from distill.methods.base import Learnable, Named
from distill.methods.visits import TEMPERATURE, SGDPoolMethod, Visit
from distill.randomness import stream
from distill.registry import option


@dataclass(frozen=True)
class RaTBPTT(SGDPoolMethod):
    """RaT-BPTT (Feng, Vedantam and Kempe 2024), whose random windows start from the networks of a pool.

    A visit continues the training of one network on the items by `pool_window` steps of the protocol dc (SGD
    with momentum and weight decay on the soft cross-entropy, the items changed at random), and differentiates
    the cross-entropy of τ · logits for a batch of real items through them; τ is learned. Then the network is
    trained for `pool_steps` steps without a graph. So a window may start after as many as pool_steps ·
    max_age steps, at no greater cost: sets that are learned so stay good however long students train.
    Where the set's own rule is Adam, the pool trains by it: its networks carry Adam's moments from one visit
    to the next, and a window is unrolled through them.
    """

    rule: ClassVar[SGD] = SGD(momentum=0.9, weight_decay=0.0005)  # of the protocol dc
    outer_lrs: ClassVar[dict[str, float]] = {TEMPERATURE: 0.02}
    relative_clip = 2.0

    max_age: int = option(40, "VISITS", above=0, at_most=10**6)
    """After how many visits a network of the pool is replaced by a new one."""
    pool_window: int = option(8, "STEPS", above=0, at_most=10**4, cost=(40_000, "bytes"))
    """Through how many inner steps the outer gradient travels."""
    temperature: float = option(3.0, "FLOAT", above=0)
    """τ at the start: the factor of a network's logits in the outer loss; it is learned."""

    def rule_of(self, problem: Problem) -> Rule:
        """Adam where the set's recipe is Adam's, else that of the protocol dc."""
        return problem.rule if isinstance(problem.rule, Adam) else self.rule

    def recommend(self) -> dict[str, Any]:
        by_adam = self.families and isinstance(self.families[0].problem.rule, Adam)
        return {"name": "adam"} if by_adam else super().recommend()

    def lr_end_for(self, problem: Problem) -> float:
        return 0.01 if isinstance(problem.rule, Adam) else super().lr_end_for(problem)

    def learned_tensors(self) -> Named:
        return {TEMPERATURE: torch.tensor(math.log(self.temperature))}

    def visit_loss(self, visit: Visit, synthetic: Learnable, step: int) -> Float[Tensor, ""]:
        """The outer loss at the end of the window of one network."""
        state = visit.state
        for inner_step in self.window_steps(visit, synthetic):
            state = visit.problem.advance(state, inner_step)
        log_temperature = synthetic.tensors().get(TEMPERATURE, self.learned_tensors()[TEMPERATURE])
        with outer_precision(visit.problem, visit.task.x):
            logits = visit.problem.logits(state, visit.task.x)
        return F.cross_entropy(log_temperature.exp() * logits.to(visit.task.x.dtype), visit.task.y)

    def window_steps(self, visit: Visit, synthetic: Learnable) -> list[Step]:
        """The inner steps of a window, at the place in the set's own steps where a network of an age is."""
        steps, generator = synthetic.step_sequence(), stream("window", visit.task.generator.initial_seed())
        first, lr = visit.age * self.pool_steps, torch.tensor(visit.family.lr)
        rows = [steps[(first + i) % len(steps)] for i in range(self.pool_window)]
        return [
            row._replace(x=visit.pool.change(visit.place, row.x, generator), lr=lr.to(row.y)) for row in rows
        ]
