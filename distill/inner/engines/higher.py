"""Higher: the `higher` package as an engine, and the independent check of the others."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from distill.errors import UserError
from distill.inner.engines.base import Advance, Gradient, Loss, State, Step, fresh_leaves, pull_back
from distill.inner.problem import Problem
from distill.inner.rules import SGD, Adam, Rule


@dataclass(frozen=True)
class Higher:
    """The `higher` package (Grefenstette et al. 2019) unrolling any torch.optim optimiser.

    Steps must be (x, y, lr). It brings its own inner step: `optimiser` builds a torch optimiser
    over parameter groups, and `advance` is not used. So it serves any optimiser that higher
    knows, and it checks our other engines independently. Its Adam adds eps before the bias
    correction of the second moment, as torch did in 2019: a difference of the order of eps.
    """

    network: nn.Module
    inner_loss: Callable[[Tensor, Tensor], Tensor]
    optimiser: Callable[[list[dict[str, Any]]], torch.optim.Optimizer]

    @staticmethod
    def for_problem(problem: Problem) -> "Higher":
        """The engine of a problem's network, inner loss and rule. Raises UserError for others, or buffers."""
        if problem.buffer_names:
            raise UserError("the engine higher takes networks without buffers: leave the engine out")
        return Higher(problem.network, problem.inner_loss, torch_optimiser(problem.rule))

    def gradient(
        self,
        advance: Advance,
        state: State,
        steps: Sequence[Step],
        loss: Loss,
        generator: torch.Generator | None = None,
    ) -> Gradient:
        import higher

        steps = [fresh_leaves(step) for step in steps]
        groups = [{"params": [p], "lr": 1.0} for p in self.network.parameters()]
        weights = [w.detach().requires_grad_() for w in state[: len(groups)]]
        with (
            torch.enable_grad(),
            higher.innerloop_ctx(self.network, self.optimiser(groups)) as (network, optimiser),
        ):
            network.update_params(weights)
            for step in steps:
                inner = self.inner_loss(network(step.x), step.y)
                optimiser.step(inner, override={"lr": list(step.lr.expand(len(groups)))})
            value = loss(tuple(network.parameters(time=-1)))
            flat = iter(pull_back([value], [t for step in steps for t in step]))
        return value.detach(), [type(step)(*(next(flat) for _ in step)) for step in steps]


def torch_optimiser(rule: Rule) -> Callable[[list[dict[str, Any]]], torch.optim.Optimizer]:
    """A maker of the torch.optim optimiser that equals the rule. Raises UserError."""
    if isinstance(rule, SGD):
        return lambda groups: torch.optim.SGD(
            groups, lr=1.0, momentum=rule.momentum, weight_decay=rule.weight_decay
        )
    if isinstance(rule, Adam):
        return lambda groups: torch.optim.Adam(groups, betas=(rule.beta1, rule.beta2), eps=rule.eps)
    raise UserError("the engine higher takes the rules sgd, momentum and adam")
