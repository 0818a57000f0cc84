"""Quick: a Problem whose convolutions and poolings are faster on a CPU, to the same gradients.

Two of torch's CPU kernels take a large part of an outer step, and neither has to: the gradient of a
convolution's input where that has few channels, as the items have (LeNet, 10 items: 1.0 ms for 0.2), which
each inner step needs twice, once for the items and once through the inner gradient; and max pooling of the
outer batch (256 images: 11.2 ms for 0.6).
"""

import copy
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from distill.inner.problem import Problem, State
from distill.inner.step import Step

FEW = 4  # channels of an input up to which its gradient is quicker by hand
ITEMS = "items_of_a_step"  # the mark of a tensor for which no inner gradient is wanted
NARROW = 16  # channels of an outcome up to which a convolution is called narrow


@dataclass(frozen=True)
class Quick(Problem):
    """The same inner step and outer loss to rounding, where they are differentiated on a CPU.

    What is not differentiated through, as a student's training, goes the plain way, to the same bits.
    """

    @cached_property
    def steps(self) -> Problem:
        """What the items are trained by."""
        return Problem(quickened(self.network, Convolution), self.rule, self.inner_loss, self.outer_loss)

    @cached_property
    def batch(self) -> Problem:
        """What looks at the real items."""
        return Problem(quickened(self.network, Pooling), self.rule, self.inner_loss, self.outer_loss)

    def advance(self, state: State, step: Step) -> State:
        if not torch.is_grad_enabled():
            return super().advance(state, step)
        setattr(step.x, ITEMS, True)
        return self.steps.advance(state, step)

    def loss(
        self, state: State, x: Float[Tensor, "batch *item"], y: Int[Tensor, " batch"]
    ) -> Float[Tensor, ""]:
        return self.batch.loss(state, x, y)


def quickened(network: nn.Module, twin: "type[Convolution] | type[Pooling]") -> nn.Module:
    """A copy of the network, of the same parameters, in which a module that has a quick twin is that twin."""
    network = copy.deepcopy(network)
    for module in network.modules():
        if twin.takes_over(module):
            module.__class__ = twin
    return network


class Convolution(nn.Conv2d):
    """A convolution of few channels by Convolved."""

    @staticmethod
    def takes_over(module: nn.Module) -> bool:
        """Whether it is a convolution of few channels without stride, dilation or groups, padded by zeros."""
        return type(module) is nn.Conv2d and module.in_channels <= FEW and simple(module)

    def forward(self, x: Float[Tensor, "b channels height width"]) -> Float[Tensor, "b more h w"]:
        found: Tensor = Convolved.apply(x, self.weight, self.bias, self.padding, hasattr(x, ITEMS))
        return found


def simple(conv: nn.Conv2d) -> bool:
    """Whether a convolution has no stride, dilation or groups, and pads by zeros in numbers."""
    plain = conv.stride == conv.dilation == (1, 1) and conv.groups == 1
    return plain and conv.padding_mode == "zeros" and not isinstance(conv.padding, str)


# A convolution is linear in x and in w, and so are its two gradients: the derivative of each of these three
# is the two others. Shapes: x (b, c, h, w), w (k, c, r, s), and g, v like the outcome or the gradient.


class Convolved(Function):
    """conv(x, w) + bias.

    For the items of a step the gradient is left out where it would be differentiated once more: that is
    the inner gradient, which is for the weights alone.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, w: Tensor, bias: Tensor | None, padding: tuple[int, int], items: bool
    ) -> Tensor:
        ctx.save_for_backward(x, w)
        ctx.padding, ctx.items = padding, items
        return F.conv2d(x, w, bias, padding=padding)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (x, w), (for_x, for_w, for_bias, *_) = ctx.saved_tensors, ctx.needs_input_grad
        for_x = for_x and not (ctx.items and torch.is_grad_enabled())
        grad_x = InputGradient.apply(g, w, x.shape, ctx.padding) if for_x else None
        grad_w = WeightGradient.apply(x, g, w.shape, ctx.padding) if for_w else None
        return grad_x, grad_w, g.sum((0, 2, 3)) if for_bias else None, None, None


class InputGradient(Function):
    """d conv(x, w) / d x contracted with g."""

    @staticmethod
    def forward(ctx: Any, g: Tensor, w: Tensor, shape: torch.Size, padding: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(g, w)
        ctx.padding = padding
        return of_input(g, w, shape, padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, v: Tensor) -> Any:
        (g, w), (for_g, for_w, *_) = ctx.saved_tensors, ctx.needs_input_grad
        grad_g = F.conv2d(v, w, padding=ctx.padding) if for_g else None
        return grad_g, of_weight(v, g, w.shape, ctx.padding) if for_w else None, None, None


class WeightGradient(Function):
    """d conv(x, w) / d w contracted with g."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, g: Tensor, shape: torch.Size, padding: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(x, g)
        ctx.padding = padding
        return of_weight(x, g, shape, padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, v: Tensor) -> Any:
        (x, g), (for_x, for_g, *_) = ctx.saved_tensors, ctx.needs_input_grad
        grad_x = of_input(g, v, x.shape, ctx.padding) if for_x else None
        return grad_x, F.conv2d(x, v, padding=ctx.padding) if for_g else None, None, None


def of_input(g: Tensor, w: Tensor, shape: torch.Size, padding: tuple[int, int]) -> Tensor:
    """A matrix product, then each window's numbers added where they came from; or channel by channel."""
    rows, columns = w.shape[2:]
    far = (rows - 1 - padding[0], columns - 1 - padding[1])
    if w.shape[1] == 1 and len(w) <= NARROW and min(far) >= 0:
        return F.conv2d(g, w.flip(2, 3), padding=far, groups=len(w)).sum(1, keepdim=True)
    return F.fold(w.flatten(1).T @ g.flatten(2), shape[2:], (rows, columns), padding=padding)


def of_weight(x: Tensor, g: Tensor, shape: torch.Size, padding: tuple[int, int]) -> Tensor:
    """torch's own."""
    like, mask = g.new_empty(shape), [False, True, False]
    found = torch.ops.aten.convolution_backward(
        g, x, like, None, [1, 1], list(padding), [1, 1], False, [0, 0], 1, mask
    )
    return found[1]


class Pooling(nn.MaxPool2d):
    """Max pooling of 2×2 by Pooled."""

    @staticmethod
    def takes_over(module: nn.Module) -> bool:
        """Whether it is max pooling of 2×2, side by side."""
        if type(module) is not nn.MaxPool2d or module.return_indices:
            return False
        plain = module.kernel_size in (2, (2, 2)) and module.stride in (2, (2, 2))
        return plain and module.padding in (0, (0, 0)) and module.dilation in (1, (1, 1))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c half_h half_w"]:
        if x.shape[2] % 2 or x.shape[3] % 2 or x.device.type != "cpu":
            return super().forward(x)
        found: Tensor = Pooled.apply(x)
        return found


class Pooled(Function):
    """The maximum of the four slices; of equal numbers the first, row by row, has the gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        left, right = x[..., ::2], x[..., 1::2]
        wide = torch.maximum(left, right)
        upper, lower = wide[..., ::2, :], wide[..., 1::2, :]
        ctx.save_for_backward(right > left, lower > upper)
        return torch.maximum(upper, lower)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Tensor:
        is_right, is_lower = ctx.saved_tensors
        b, c, h, w = g.shape
        full = g.new_empty(b, c, 2 * h, 2 * w)
        lower = g * is_lower
        for row, part in enumerate((g - lower, lower)):
            rows = full[..., row::2, :]
            torch.mul(part, is_right[..., row::2, :], out=rows[..., 1::2])
            torch.sub(part, rows[..., 1::2], out=rows[..., ::2])
        return full
