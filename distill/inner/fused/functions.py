"""The inner gradient, and a whole step of gradient descent, as one autograd function each."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from distill.inner.fused.program import Program


class InnerGradient(Function):
    """d loss / d weights on items x (batch, *item) and targets y (batch, classes)."""

    @staticmethod
    def forward(ctx: Any, program: Program, x: Tensor, y: Tensor, *weights: Tensor) -> tuple[Tensor, ...]:
        gradients, ctx.record = program.gradient(x, y, weights)
        ctx.program = program
        ctx.save_for_backward(y, *weights)
        return tuple(gradients)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *directions: Tensor) -> Any:
        y, *weights = ctx.saved_tensors
        found = ctx.program.derivative(ctx.record, y, weights, directions, ctx.needs_input_grad[1])
        return None, found.x, found.y, *found.weights


class DescentStep(Function):
    """A step of gradient descent with momentum: w - lr · b with b = momentum · (b before) + gradient.

    lrs (g,) is a rate for each of the g weights, which come first; without a momentum no b follows them.
    """

    @staticmethod
    def forward(
        ctx: Any, program: Program, momentum: float, x: Tensor, y: Tensor, lrs: Tensor, *state: Tensor
    ) -> tuple[Tensor, ...]:
        weights, memory = state[: len(lrs)], state[len(lrs) :]
        steps, ctx.record = program.gradient(x, y, weights)
        for step, before in zip(steps, memory, strict=bool(memory)):
            step.add_(before, alpha=momentum)
        after = [w.addcmul(b, lr, value=-1) for w, b, lr in zip(weights, steps, lrs.unbind(), strict=True)]
        ctx.program, ctx.momentum = program, momentum
        ctx.save_for_backward(y, lrs, *weights, *steps)
        return (*after, *steps) if memory else tuple(after)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *cotangents: Tensor) -> Any:
        y, lrs, *saved = ctx.saved_tensors
        weights, steps = saved[: len(lrs)], saved[len(lrs) :]
        after, memory = cotangents[: len(lrs)], cotangents[len(lrs) :]
        r_lrs = -torch.stack([c.flatten().dot(b.flatten()) for c, b in zip(after, steps, strict=True)])
        scaled = [c * -lr for c, lr in zip(after, lrs.unbind(), strict=True)]
        directions = [d.add_(m) for d, m in zip(scaled, memory, strict=True)] if memory else scaled
        found = ctx.program.derivative(ctx.record, y, weights, directions, ctx.needs_input_grad[2])
        r_weights = [g.add_(c) for g, c in zip(found.weights, after, strict=True)]
        r_memory = [ctx.momentum * d for d in directions] if memory else []
        return None, None, found.x, found.y, r_lrs, *r_weights, *r_memory
