"""Problem: a network, its inner loss and rule, the outer loss; and advance(), the one inner step."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from distill.errors import NetworkError
from distill.inner.losses import cross_entropy, soft_cross_entropy
from distill.inner.rules import SGD, Rule, Tensors
from distill.inner.step import AnyStep
from distill.networks.functional import call_with_weights, extract_features

Loss = Callable[[Tensor, Tensor], Tensor]
State = Tensors  # the weights in the order of network.named_parameters(), the rule's memory, the buffers


@dataclass(frozen=True)
class Problem:
    """Everything about the inner training except its data.

    To be differentiated through, the network must be twice differentiable and have no buffers that training
    changes. Its frozen parameters (requires_grad is False) stay as they are.
    """

    network: nn.Module
    rule: Rule = field(default_factory=SGD)
    inner_loss: Loss = soft_cross_entropy
    outer_loss: Loss = cross_entropy

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The network's parameters by name, in the order in which a State holds them."""
        return tuple(name for name, _ in self.network.named_parameters())

    @cached_property
    def buffer_names(self) -> tuple[str, ...]:
        """The network's buffers by name; most networks have none."""
        return tuple(name for name, _ in self.network.named_buffers())

    @property
    def of_torch(self) -> "Problem":
        """The same problem by torch's own kernels, to the same bits wherever a student is trained."""
        return self

    @cached_property
    def trained(self) -> tuple[int, ...]:
        """Which of the parameters are trained; where all are, as in most networks, it is empty."""
        required = [p.requires_grad for _, p in self.network.named_parameters()]
        return () if all(required) else tuple(i for i, trained in enumerate(required) if trained)

    def start(self, weights: Mapping[str, Tensor]) -> State:
        """The state before the first step, from named weights; buffers not among them are the network's.

        Raises NetworkError where a weight is missing.
        """
        if not isinstance(weights, Mapping):
            raise NetworkError(
                f"the initial weights are a {type(weights).__name__}: give a dict of tensors by name, as"
                " initial_weights(…)[0] is"
            )
        if missing := [name for name in self.names if name not in weights]:
            raise NetworkError(
                f"the initial weights lack {missing[0]} of the network: give those of this network"
            )
        ordered = tuple(weights[name] for name in self.names)
        buffers = self.select_buffers(weights) if self.buffer_names else ()
        return (*ordered, *self.rule.start(ordered), *buffers)

    def select_buffers(self, weights: Mapping[str, Tensor]) -> Tensors:
        """The buffers among named weights, else copies of the network's."""
        buffers = self.network.named_buffers()
        return tuple(weights.get(name, buffer.detach()).clone() for name, buffer in buffers)

    def split(self, state: State) -> tuple[Tensors, Tensors, Tensors]:
        """The weights, the rule's memory and the buffers of a state; of weights alone, those and no more."""
        g, b = len(self.names), len(self.buffer_names)
        end = len(state) - b if len(state) > g else g
        return state[:g], state[g:end], state[end:]

    def weights(self, state: State) -> dict[str, Tensor]:
        """The named weights in a state, and its buffers."""
        named = dict(zip(self.names, state[: len(self.names)], strict=True))
        if self.buffer_names:
            named |= zip(self.buffer_names, self.split(state)[2], strict=False)
        return named

    def logits(self, state: State, x: Float[Tensor, "batch *item"]) -> Float[Tensor, "batch classes"]:
        """The network's answer to x with the weights of state."""
        logits: Tensor = call_with_weights(self.network, self.weights(state), x)
        return logits

    def features(self, state: State, x: Float[Tensor, "batch *item"]) -> Float[Tensor, "batch width"]:
        """The input of the network's last linear layer for x."""
        return extract_features(self.network, self.weights(state), x)

    def step_loss(self, state: State, step: AnyStep) -> Float[Tensor, ""]:
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

    def advance(self, state: State, step: AnyStep) -> State:
        """One functional inner step: state_{t+1} = rule(state_t, ∇ inner_loss(x, y), lr).

        Differentiable with respect to state and step where gradients are enabled; under
        torch.no_grad() it is plain training. step.lr is a scalar, or (g,): one per parameter
        tensor in the order of names.
        """
        twice, (weights, memory, buffers) = torch.is_grad_enabled(), self.split(state)
        buffers = tuple(buffer.clone() for buffer in buffers)  # a batch norm changes them in place
        with torch.enable_grad():
            variables = [w if twice and w.requires_grad else w.detach().requires_grad_() for w in weights]
            loss = self.step_loss((*variables, *memory, *buffers), step)
            gradients = differentiate(loss, variables, create_graph=twice)
        lrs = step.lr.expand(len(self.names)).unbind()
        new_weights, memory = self.rule.update(variables, memory, gradients, lrs)
        return (*self.keep_frozen(weights, new_weights), *memory, *buffers)

    def keep_frozen(self, weights: Tensors, new_weights: Tensors) -> Tensors:
        """The new weights, but for those of frozen parameters."""
        if not self.trained:
            return new_weights
        return tuple(
            new if i in self.trained else old
            for i, (old, new) in enumerate(zip(weights, new_weights, strict=True))
        )


def differentiate(loss: Tensor, weights: Sequence[Tensor], create_graph: bool = False) -> Tensors:
    """The gradient of a loss for each weight: zero for one that has no part in it, as an expert left out."""
    return torch.autograd.grad(
        loss, weights, create_graph=create_graph, allow_unused=True, materialize_grads=True
    )


class Task(NamedTuple):
    """One inner training of an outer step: an initial state, real items and labels, and a generator."""

    state: State
    x: Tensor
    y: Tensor
    generator: torch.Generator
