"""FusedProblem: a FastProblem whose inner step is fused where its network and losses can be."""

from dataclasses import dataclass
from functools import cached_property

from distill.inner.fused.functions import DescentStep, InnerGradient
from distill.inner.fused.losses import LOSSES
from distill.inner.fused.program import Program, build_program
from distill.inner.kernels import FastProblem
from distill.inner.problem import State
from distill.inner.rules import SGD
from distill.inner.step import AnyStep


@dataclass(frozen=True)
class FusedProblem(FastProblem):
    """The same inner step and outer loss to rounding; as FastProblem's where the network cannot be fused."""

    @cached_property
    def program(self) -> Program | None:
        """The network's layers; None where it cannot be fused, or a part of it is frozen."""
        loss = LOSSES.get(self.inner_loss)
        return build_program(self.network, loss) if loss and not self.trained else None

    def advance(self, state: State, step: AnyStep) -> State:
        if self.program is None or not self.program.fits(step.x):
            return super().advance(state, step)
        lrs, rule = step.lr.expand(len(self.names)), self.rule
        if isinstance(rule, SGD) and not rule.weight_decay:
            after: State = DescentStep.apply(self.program, rule.momentum, step.x, step.y, lrs, *state)
            return after
        weights, memory, _ = self.split(state)
        gradients = InnerGradient.apply(self.program, step.x, step.y, *weights)
        weights, memory = rule.update(weights, memory, gradients, lrs.unbind())
        return (*weights, *memory)
