"""Matching: what a network makes of the real and of the synthetic items of each class, brought together."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from distill.data.augment.dsa import build_dsa, is_dsa
from distill.inner.problem import Problem, State
from distill.methods.base import Augment, Learnable, item_classes
from distill.methods.visits import SGDPoolMethod, Visit
from distill.randomness import stream
from distill.registry import option

Tensors = Sequence[Tensor]


@dataclass(frozen=True)
class MatchingMethod(SGDPoolMethod):
    """A method that describes the items of a class by a network, and brings two descriptions together.

    A leaf says what the description is (features, gradients) and what the distance of two of them; the loss
    is the sum of the distances of all classes. --augment changes the real and the synthetic items of a class
    by the same numbers (siamese augmentation, Zhao and Bilen 2021), by the changes of the protocol dsa where
    it has all of the words; by affine and standard each item is changed by numbers of its own. The networks
    are those of a pool, which train on the items by SGD, and there each item draws numbers of its own.
    """

    needs_every_class: ClassVar[bool] = True
    matches_classes: ClassVar[bool] = True

    max_age: int = option(10, "VISITS", above=0, at_most=10**6)
    """After how many visits a network of the pool is replaced by a new one (default: for dm 1, for dc 1 up to
    20 items, 10 up to 200, else 50: the loops of the papers)."""
    pool_steps: int = option(10, "STEPS", above=0, at_most=10**6)
    """For how many steps a visit trains its network on the items. The papers have 50 at 0.01 for a hundred
    items; ten at 0.05 go as far for a fifth of the cost, and --pool-lr follows the steps."""

    classes_per_step: int = option(100, "COUNT", above=0, at_most=10**6)
    """From how many classes, drawn anew in each visit, real items come: a visit of a thousand would take as
    long as ten of a hundred."""

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

    def item_augmentation(self, words: str) -> Augment:
        return build_dsa(words, siamese=True) if is_dsa(words) else super().item_augmentation(words)

    def uniform_loss(self, classes: int) -> float:
        return torch.inf

    def summarise_real(self, visit: Visit) -> dict[int, Tensors]:
        """The description of the real items of each class, without a graph."""
        x, y = visit.task.x, visit.task.y
        classes = visit.problem.logits(visit.state, x[:1]).shape[1]
        shares = F.one_hot(y, classes).to(x.dtype)
        described = {
            c: self.describe_class(visit, c, x[y == c], shares[y == c], False) for c in y.unique().tolist()
        }
        return {c: [t.detach().to(x.dtype) for t in tensors] for c, tensors in described.items()}

    def visit_loss(self, visit: Visit, synthetic: Learnable, step: int) -> Float[Tensor, ""]:
        classes, items, labels = item_classes(synthetic), synthetic.items, synthetic.targets()
        distances = []
        for c, real in visit.real.items():
            rows = classes == c
            distances.append(
                self.distance(self.describe_class(visit, c, items[rows], labels[rows], True), real)
            )
        return torch.stack(distances).sum()

    def describe_class(self, visit: Visit, c: int, x: Tensor, y: Tensor, differentiable: bool) -> Tensors:
        """The description of items of class c, changed by the numbers of this class and this visit."""
        if visit.augment is not None:
            x = visit.augment(x, stream("siamese", visit.task.generator.initial_seed(), c))
        return self.describe(visit.problem, visit.state, x, y, differentiable)
