"""Update rules as pure functions: SGD (with momentum) and Adam, equal to torch.optim's.

A rule keeps no state. It takes the weights, its memory and the gradients, and returns new weights and a new
memory, so that a step can be differentiated, replayed or thrown away.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from distill.inner import RULES
from distill.registry import load

Tensors = tuple[Tensor, ...]


@runtime_checkable
class Rule(Protocol):
    """What Problem.advance and the outer loop ask of an update rule."""

    def start(self, weights: Sequence[Tensor]) -> Tensors:
        """The memory before the first step."""

    def update(
        self, weights: Sequence[Tensor], memory: Tensors, gradients: Sequence[Tensor], lrs: Sequence[Tensor]
    ) -> tuple[Tensors, Tensors]:
        """New weights and memory; lrs holds one learning rate (a scalar tensor) per weight."""


@dataclass(frozen=True)
class SGD:
    """w ← w - lr · b with b ← momentum · b + g + weight_decay · w (torch.optim.SGD, no dampening)."""

    momentum: float = 0.0
    weight_decay: float = 0.0

    def start(self, weights: Sequence[Tensor]) -> Tensors:
        return tuple(torch.zeros_like(w) for w in weights) if self.momentum else ()

    def update(
        self, weights: Sequence[Tensor], memory: Tensors, gradients: Sequence[Tensor], lrs: Sequence[Tensor]
    ) -> tuple[Tensors, Tensors]:
        if self.weight_decay:
            gradients = tuple(g + self.weight_decay * w for w, g in zip(weights, gradients, strict=True))
        if self.momentum:
            gradients = memory = tuple(self.momentum * b + g for b, g in zip(memory, gradients, strict=True))
        triples = zip(weights, gradients, lrs, strict=True)
        return tuple(torch.addcmul(w, g, lr, value=-1) for w, g, lr in triples), memory


def momentum() -> SGD:
    """SGD with momentum 0.9."""
    return SGD(0.9)


@dataclass(frozen=True)
class Adam:
    """Kingma and Ba 2015, algorithm 1, as torch.optim.Adam computes it.

    The memory is all first moments, all second moments, then the count of steps. Where a second
    moment is zero its root has an infinite slope; sqrt_with_finite_slope gives it slope zero instead, so that
    a dead unit does not turn the outer gradient into NaN.
    """

    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    def start(self, weights: Sequence[Tensor]) -> Tensors:
        zeros = tuple(torch.zeros_like(w) for w in weights)
        return (*zeros, *zeros, weights[0].new_zeros(()))

    def update(
        self, weights: Sequence[Tensor], memory: Tensors, gradients: Sequence[Tensor], lrs: Sequence[Tensor]
    ) -> tuple[Tensors, Tensors]:
        n = len(weights)
        count = memory[-1] + 1
        first = tuple(m + (1 - self.beta1) * (g - m) for m, g in zip(memory[:n], gradients, strict=True))
        second = tuple(
            self.beta2 * v + (1 - self.beta2) * g * g for v, g in zip(memory[n:-1], gradients, strict=True)
        )
        correction1, correction2 = 1 - self.beta1**count, torch.sqrt(1 - self.beta2**count)
        weights = tuple(
            w - (lr / correction1) * m / (sqrt_with_finite_slope(v) / correction2 + self.eps)
            for w, m, v, lr in zip(weights, first, second, lrs, strict=True)
        )
        return weights, (*first, *second, count)


def sqrt_with_finite_slope(v: Tensor) -> Tensor:
    """√v with slope 0, rather than infinite, at v = 0."""
    positive = v > 0
    return torch.where(positive, v, 1).sqrt() * positive


def describe_rule(rule: Rule) -> dict[str, str | float]:
    """The rule as the exported file carries it: its word and all its numbers, without a weight decay of 0."""
    for word, rule_class in rule_classes().items():
        if isinstance(rule, rule_class):
            numbers = {f.name: getattr(rule, f.name) for f in fields(rule_class)}
            return {"rule": word, **{k: v for k, v in numbers.items() if v or k != "weight_decay"}}
    raise TypeError(f"{type(rule).__name__} has no description: an exported rule is SGD or Adam")


def build_rule(description: dict[str, Any]) -> Rule:
    """The rule of a description. Raises KeyError for a rule that this version does not know."""
    rule_class = rule_classes()[description["rule"]]
    numbers = {f.name: float(description[f.name]) for f in fields(rule_class) if f.name in description}
    rule: Rule = rule_class(**numbers)
    return rule


def rule_classes() -> dict[str, Any]:
    """The words of RULES that files use: those of a class rather than of one setting of it."""
    rules = {word: load(entry) for word, entry in RULES.items()}
    return {word: rule for word, rule in rules.items() if isinstance(rule, type)}
