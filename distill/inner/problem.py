"""Problem: a network, its inner loss and rule, the outer loss; and advance(), the one inner step."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from distill.inner.losses import cross_entropy, soft_cross_entropy
from distill.inner.rules import SGD, Rule, Tensors
from distill.inner.step import Step
from distill.networks.functional import call_with_weights, extract_features

Loss = Callable[[Tensor, Tensor], Tensor]
State = Tensors  # the weights in the order of network.named_parameters(), then the rule's memory


@dataclass(frozen=True)
class Problem:
    """Everything about the inner training except its data.

    The network must be twice differentiable and have no buffers that training changes.
    """

    network: nn.Module
    rule: Rule = field(default_factory=SGD)
    inner_loss: Loss = soft_cross_entropy
    outer_loss: Loss = cross_entropy

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The network's parameters by name, in the order in which a State holds them."""
        return tuple(name for name, _ in self.network.named_parameters())

    def start(self, weights: Mapping[str, Tensor]) -> State:
        """The state before the first step, from named weights."""
        ordered = tuple(weights[name] for name in self.names)
        return (*ordered, *self.rule.start(ordered))

    def weights(self, state: State) -> dict[str, Tensor]:
        """The named weights in a state."""
        return dict(zip(self.names, state, strict=False))

    def logits(self, state: State, x: Float[Tensor, "batch *item"]) -> Float[Tensor, "batch classes"]:
        """The network's answer to x with the weights of state."""
        return call_with_weights(self.network, self.weights(state), x)

    def features(self, state: State, x: Float[Tensor, "batch *item"]) -> Float[Tensor, "batch width"]:
        """The input of the network's last linear layer for x."""
        return extract_features(self.network, self.weights(state), x)

    def step_loss(self, state: State, step: Step) -> Float[Tensor, ""]:
        """The inner loss of a state on a step's synthetic items and labels."""
        return self.inner_loss(self.logits(state, step.x), step.y)

    def loss(
        self, state: State, x: Float[Tensor, "batch *item"], y: Int[Tensor, " batch"]
    ) -> Float[Tensor, ""]:
        """The outer loss of a state on real items x and labels y."""
        return self.outer_loss(self.logits(state, x), y)

    def uniform_loss(self, y: Int[Tensor, " batch"], classes: int) -> float:
        """The outer loss of a network whose logits are equal: it gives every class the same probability."""
        return float(self.outer_loss(torch.zeros(len(y), classes, device=y.device), y))

    def advance(self, state: State, step: Step) -> State:
        """One functional inner step: state_{t+1} = rule(state_t, ∇ inner_loss(x, y), lr).

        Differentiable with respect to state and step where gradients are enabled; under
        torch.no_grad() it is plain training. step.lr is a scalar, or (g,): one per parameter
        tensor in the order of names.
        """
        g, twice = len(self.names), torch.is_grad_enabled()
        with torch.enable_grad():
            weights = [w if twice and w.requires_grad else w.detach().requires_grad_() for w in state[:g]]
            loss = self.step_loss(tuple(weights), step)
            gradients = torch.autograd.grad(loss, weights, create_graph=twice)
        new_weights, memory = self.rule.update(weights, state[g:], gradients, step.lr.expand(g).unbind())
        return (*new_weights, *memory)


class Task(NamedTuple):
    """One inner training of an outer step: an initial state, real items and labels, and a generator."""

    state: State
    x: Tensor
    y: Tensor
    generator: torch.Generator
