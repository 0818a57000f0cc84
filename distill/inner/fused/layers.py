"""The layers of a fused network: each forwards, backwards, and along a tangent.

Images are (channels, height, width, batch), so that a row of all items is one piece of memory; flattened
activations are (batch, features). Of a layer z = f(a; w), `forward` answers z and a trace for the later
passes; `backward` the gradients of a and w from delta, that of z; `tangent` is R{z} for directions R{a} and
R{w}, with a trace of R{a}; and `backward_tangent` are the R of both gradients (Pearlmutter 1994, section 3).
R{a} is None where it is zero, as that of the items is; `deep` asks for the gradient of a.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

Trace = Any  # what a layer's forward pass leaves to the others
Weights = Sequence[Tensor]  # of one layer: none, or a weight and a bias
Gradients = tuple[Tensor | None, list[Tensor]]  # of a (None where it is not asked for), and of w


class Linear:
    """z = a W' + b, of activations (batch, features)."""

    def forward(self, a: Tensor, w: Weights) -> tuple[Tensor, Trace]:
        return torch.addmm(w[1], a, w[0].T), a

    def backward(self, a: Trace, w: Weights, delta: Tensor, deep: bool) -> Gradients:
        return delta @ w[0] if deep else None, [delta.T @ a, delta.sum(0)]

    def tangent(self, a: Trace, w: Weights, r_w: Weights, r_a: Tensor | None) -> tuple[Tensor, Trace]:
        r_z = torch.addmm(r_w[1], a, r_w[0].T)
        return r_z if r_a is None else r_z.addmm_(r_a, w[0].T), r_a

    def backward_tangent(
        self, a: Trace, r_a: Trace, w: Weights, r_w: Weights, delta: Tensor, r_delta: Tensor, deep: bool
    ) -> Gradients:
        weight = r_delta.T @ a
        if r_a is not None:
            weight.addmm_(delta.T, r_a)
        return (r_delta @ w[0]).addmm_(delta, r_w[0]) if deep else None, [weight, r_delta.sum(0)]


class Weightless:
    """A layer that is linear where it is differentiable: push() is its Jacobian, pull() the transpose."""

    def push(self, trace: Trace, r_a: Tensor) -> Tensor:
        """The Jacobian times a direction."""
        raise NotImplementedError

    def pull(self, trace: Trace, delta: Tensor) -> Tensor:
        """The transposed Jacobian times the gradient of z."""
        raise NotImplementedError

    def tangent(
        self, trace: Trace, w: Weights, r_w: Weights, r_a: Tensor | None
    ) -> tuple[Tensor | None, Trace]:
        return None if r_a is None else self.push(trace, r_a), None

    def backward(self, trace: Trace, w: Weights, delta: Tensor, deep: bool) -> Gradients:
        return self.pull(trace, delta) if deep else None, []

    def backward_tangent(
        self, trace: Trace, r_a: Trace, w: Weights, r_w: Weights, delta: Any, r_delta: Tensor, deep: bool
    ) -> Gradients:
        return self.backward(trace, w, r_delta, deep)


class ReLU(Weightless):
    """z = max(a, 0), of slope 0 at 0."""

    def forward(self, a: Tensor, w: Weights) -> tuple[Tensor, Trace]:
        z = a.relu()
        return z, z

    def push(self, z: Trace, r_a: Tensor) -> Tensor:
        direction: Tensor = torch.ops.aten.threshold_backward(r_a, z, 0)
        return direction

    def pull(self, z: Trace, delta: Tensor) -> Tensor:
        return self.push(z, delta)


class Flatten(Weightless):
    """Images as (batch, features)."""

    def forward(self, a: Tensor, w: Weights) -> tuple[Tensor, Trace]:
        return self.push(a.shape, a), a.shape

    def push(self, shape: Trace, r_a: Tensor) -> Tensor:
        return r_a.reshape(-1, shape[-1]).T

    def pull(self, shape: Trace, delta: Tensor) -> Tensor:
        return delta.T.reshape(shape)
