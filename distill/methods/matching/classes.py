"""Matching: what a network makes of the real and of the synthetic items of each class, brought together."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from distill.inner.losses import soft_cross_entropy
from distill.inner.problem import Problem, State
from distill.inner.rules import SGD
from distill.methods.base import Learnable, item_classes
from distill.methods.pool import Family
from distill.methods.visits import PoolMethod, Visit, recommend_momentum
from distill.randomness import stream
from distill.registry import option

Tensors = Sequence[Tensor]


@dataclass(frozen=True)
class MatchingMethod(PoolMethod):
    """A method that describes the items of a class by a network, and brings two descriptions together.

    A leaf says what the description is (features, gradients) and what the distance of two of them; the loss
    is the sum of the distances of all classes. --augment changes the real and the synthetic items of a class
    in the same way (siamese augmentation, Zhao and Bilen 2021). The networks are those of a pool, which train
    on the items by SGD.
    """

    needs_every_class: ClassVar[bool] = True
    matches_classes: ClassVar[bool] = True
    anytime: ClassVar[bool] = True
    needs_shares: ClassVar[bool] = True
    choice_margin: ClassVar[float] = 0.02  # three students differ by as much
    outer_settings: ClassVar[dict[str, float]] = {"beta1": 0.9, "clip_norm": torch.inf, "lr_floor": 0.1}
    inner_loss = "soft-cross-entropy"

    pool_size: int = option(5, "COUNT", above=0, at_most=1000)
    """How many networks the pool has."""
    max_age: int = option(10, "VISITS", above=0, at_most=10**6)
    """After how many visits a network of the pool is replaced by a new one (default: for dm 1, for dc 1 up to
    20 items, 10 up to 200, else 50: the loops of the papers)."""
    pool_steps: int = option(10, "STEPS", above=0, at_most=10**6)
    """For how many steps a visit trains its network on the items. The paper has 50 for a hundred items, which
    cost eight times as much as the gradients of 640 real ones."""
    pool_lr: float = option(0.01, "LR", above=0, at_most=1e30)
    """The learning rate of the networks of the pool."""

    @abstractmethod
    def describe(
        self,
        problem: Problem,
        state: State,
        x: Float[Tensor, "k *item"],
        y: Float[Tensor, "k classes"],
        differentiable: bool,
    ) -> Tensors:
        """What a network makes of k items of one class, with labels y; differentiable in both if asked."""

    @abstractmethod
    def distance(self, synthetic: Tensors, real: Tensors) -> Float[Tensor, ""]:
        """How far apart two descriptions are: zero where they are equal."""

    def family_of(self, problem: Problem, draw: Callable[[int], State]) -> Family:
        """The networks of a problem, which train on the items by plain SGD."""
        changed = replace(problem, rule=SGD(), inner_loss=soft_cross_entropy)
        return Family(changed, lambda number: changed.start(problem.weights(draw(number))), self.pool_lr)

    @property
    def student_augment(self) -> str:
        return self.augments()[0]

    def recommend(self) -> dict[str, Any]:
        return recommend_momentum(self.student_augment)

    def lr_end_for(self, problem: Problem) -> float:
        return 0.1

    def uniform_loss(self, classes: int) -> float:
        return torch.inf

    def summarise_real(self, visit: Visit) -> dict[int, Tensors]:
        """The description of the real items of each class."""
        task, classes = visit.task, visit.task.y.unique().tolist()
        return {c: self.describe_class(visit, c, task.x[task.y == c], None) for c in classes}

    def visit_loss(self, visit: Visit, synthetic: Learnable, step: int) -> Float[Tensor, ""]:
        classes, labels = item_classes(synthetic), synthetic.targets()
        distances = [
            self.distance(self.describe_class(visit, c, synthetic.items[rows], labels[rows]), real)
            for c, real in visit.real.items()
            for rows in [classes == c]
        ]
        return torch.stack(distances).sum()

    def describe_class(self, visit: Visit, c: int, x: Tensor, labels: Tensor | None) -> Tensors:
        """The description of items of class c, changed as all items of this class are in this visit.

        labels (k, classes) are those of synthetic items; real ones have none, and get no graph.
        """
        if visit.augment is not None:
            x = visit.augment(x, stream("siamese", visit.task.generator.initial_seed(), c))
        if labels is None:
            classes = visit.problem.logits(visit.state, x[:1]).shape[1]
            y = F.one_hot(torch.full((len(x),), c, device=x.device), classes).to(x.dtype)
            return [t.detach() for t in self.describe(visit.problem, visit.state, x, y, False)]
        return self.describe(visit.problem, visit.state, x, labels, True)
