"""Update rules as pure functions: SGD (with momentum) and Adam, equal to torch.optim's.

A rule keeps nothing. It is handed the weights, its memory and the gradients, and returns new
weights and a new memory, so that a step can be differentiated, replayed or thrown away.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

Tensors = tuple[Tensor, ...]


@runtime_checkable
class Rule(Protocol):
    """What Problem.advance and the outer loop ask of an update rule."""

    def start(self, weights: Sequence[Tensor]) -> Tensors:
        """The memory before the first step."""

    def update(
        self, weights: Sequence[Tensor], memory: Tensors, grads: Sequence[Tensor], rates: Sequence[Tensor]
    ) -> tuple[Tensors, Tensors]:
        """New weights and memory; rates holds one learning rate (a scalar tensor) per weight."""


@dataclass(frozen=True)
class SGD:
    """w ← w - lr · b with b ← momentum · b + g + weight_decay · w (torch.optim.SGD, no dampening)."""

    momentum: float = 0.0
    weight_decay: float = 0.0

    def start(self, weights: Sequence[Tensor]) -> Tensors:
        return tuple(torch.zeros_like(w) for w in weights) if self.momentum else ()

    def update(
        self, weights: Sequence[Tensor], memory: Tensors, grads: Sequence[Tensor], rates: Sequence[Tensor]
    ) -> tuple[Tensors, Tensors]:
        if self.weight_decay:
            grads = tuple(g + self.weight_decay * w for w, g in zip(weights, grads, strict=True))
        if self.momentum:
            grads = memory = tuple(self.momentum * b + g for b, g in zip(memory, grads, strict=True))
        moved = (torch.addcmul(w, g, r, value=-1) for w, g, r in zip(weights, grads, rates, strict=True))
        return tuple(moved), memory


@dataclass(frozen=True)
class Adam:
    """Kingma and Ba 2015, algorithm 1, as torch.optim.Adam computes it.

    The memory is all first moments, all second moments, then the count of steps. Where a second
    moment is zero its root has an infinite slope; safe_root gives it slope zero instead, so that
    a dead unit does not turn the outer gradient into NaN.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    def start(self, weights: Sequence[Tensor]) -> Tensors:
        zeros = tuple(torch.zeros_like(w) for w in weights)
        return (*zeros, *zeros, weights[0].new_zeros(()))

    def update(
        self, weights: Sequence[Tensor], memory: Tensors, grads: Sequence[Tensor], rates: Sequence[Tensor]
    ) -> tuple[Tensors, Tensors]:
        g = len(weights)
        count = memory[-1] + 1
        first = tuple(m + (1 - self.beta1) * (d - m) for m, d in zip(memory[:g], grads, strict=True))
        second = tuple(
            self.beta2 * v + (1 - self.beta2) * d * d for v, d in zip(memory[g:-1], grads, strict=True)
        )
        shrink1, shrink2 = 1 - self.beta1**count, torch.sqrt(1 - self.beta2**count)
        moved = (
            w - (r / shrink1) * m / (safe_root(v) / shrink2 + self.eps)
            for w, m, v, r in zip(weights, first, second, rates, strict=True)
        )
        return tuple(moved), (*first, *second, count)


def safe_root(v: Tensor) -> Tensor:
    """√v with slope 0, rather than infinite, at v = 0."""
    positive = v > 0
    return torch.where(positive, v, 1).sqrt() * positive


def describe(rule: Rule) -> dict[str, str | float]:
    """The rule in words and numbers, in full, as the exported file carries it."""
    if isinstance(rule, SGD):
        decay = {"weight_decay": rule.weight_decay} if rule.weight_decay else {}
        return {"rule": "sgd", "momentum": rule.momentum, **decay}
    if isinstance(rule, Adam):
        return {"rule": "adam", "beta1": rule.beta1, "beta2": rule.beta2, "eps": rule.eps}
    raise TypeError(f"{type(rule).__name__} has no description: an exported rule is SGD or Adam")


def described(words: dict[str, Any]) -> Rule:
    """The rule of a description. Raises KeyError for a rule that this version does not know."""
    kind = {"sgd": SGD, "adam": Adam}[words["rule"]]
    return kind(**{f.name: float(words[f.name]) for f in fields(kind) if f.name in words})
