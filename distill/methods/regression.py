"""RegressionPoolMethod: methods that learn the labels of a regression by the networks of a pool."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from distill.inner.losses import squared_error
from distill.inner.problem import Problem, State
from distill.inner.rules import Adam
from distill.methods.base import Learnable, Named
from distill.methods.pool import Family, has_norm, pool_rule
from distill.methods.visits import TEMPERATURE, PoolMethod
from distill.networks.images import ConvNet
from distill.networks.sequences import TextCNN
from distill.registry import option


@dataclass(frozen=True)
class RegressionPoolMethod(PoolMethod):
    """A pool method that learns the labels of a regression; its networks train by squared error to them."""

    regresses: ClassVar[bool] = True
    anytime: ClassVar[bool] = True
    choice_margin: ClassVar[float] = (
        0.03  # three students differ by as much; a lucky state had 88 % by dc for 92
    )
    outer_settings: ClassVar[dict[str, float]] = {"beta1": 0.9, "clip_norm": math.inf, "lr_floor": 0.1}
    outer_lrs: ClassVar[dict[str, float]] = {TEMPERATURE: 0.03}
    inner_loss = "squared-error"

    temperature: float = option(math.e**2, "FLOAT", above=0)
    """τ at the start: the factor of the regression's answers before the softmax; it is learned."""
    label_scale: float | None = option(None, "FACTOR", above=0)
    """How many times the regression's labels those are on which networks train (default: 10;
    textcnn 20; others without a norm 4, but for convnets): a new network's last layer answers as loudly as
    the labels are, and the regression ignores it."""
    pool_lr: float | None = option(None, "LR", above=0, at_most=1e30)
    """The learning rate of the networks of the pool. With a low one and --label-scale 1 they stay near their
    initial weights, as in the papers."""
    lr_end: float | None = option(None, "SHARE", above=0, at_most=1)
    """The last rate of a student's steps as a share of --lr; between them half a cosine (default: 0.1, and
    0.01 with Adam)."""
    pool_augment: str = option("", "CHANGES")
    """Random changes of the items on which the pool's networks train, as in --augment; the regression sees
    them unchanged. They help networks that never saw the set (LeNet 88 % for 84 %) and cost its own one."""
    flips: bool = False  # the regression knows each item's mirror image too

    def family_of(self, problem: Problem, draw: Callable[[int], State]) -> Family:
        """The networks of a problem as a family of the pool."""
        rule, lr = pool_rule(problem.network)
        changed = replace(problem, rule=rule, inner_loss=squared_error)
        return Family(
            changed, lambda number: changed.start(problem.weights(draw(number))), self.pool_lr or lr
        )

    def recommend(self) -> dict[str, Any]:
        words = self.augments()[0]
        return {"name": "adam", **({"steps": 400, "augment": words} if words else {})}

    def learned_tensors(self) -> Named:
        return {TEMPERATURE: torch.tensor(math.log(self.temperature))}

    def label_scale_for(self, problem: Problem) -> float:
        if self.label_scale:
            return self.label_scale
        if isinstance(problem.network, TextCNN):
            return 20.0
        return 10.0 if has_norm(problem.network) or isinstance(problem.network, ConvNet) else 4.0

    def lr_end_for(self, problem: Problem) -> float:
        return self.lr_end or (0.01 if isinstance(problem.rule, Adam) else 0.1)

    def regressed(self, synthetic: Learnable) -> tuple[Tensor, Float[Tensor, "n classes"]]:
        """The items and labels of the regression: with `flips` each item's mirror image has its label."""
        items, labels = synthetic.items, synthetic.labels
        return (
            (torch.cat([items, items.flip(3)]), torch.cat([labels, labels]))
            if self.flips
            else (items, labels)
        )

    def factor(self, synthetic: Learnable) -> float | Tensor:
        """τ: the factor of the regression's answers before the softmax."""
        log_temperature = synthetic.tensors().get(TEMPERATURE)
        return self.temperature if log_temperature is None else log_temperature.exp()
