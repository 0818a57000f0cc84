"""FastProblem: a Problem whose convolutions and poolings are faster on a CPU, to the same gradients.

Two of torch's CPU kernels take a large part of an outer step, and both have a faster form. One is the
gradient of a convolution's input where that has few channels, as the items have (LeNet, 10 items: 0.2 ms
instead of 1.0); each inner step needs it twice, for the items and through the inner gradient. The other is
max pooling of the outer batch (256 images: 0.6 ms instead of 11.2).
"""

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
from distill.inner.step import AnyStep
from distill.networks.functional import copy_network

MAX_INPUT_CHANNELS = 4  # up to which the gradient of a convolution's input is faster here
MAX_NARROW_CHANNELS = 16  # of a convolution's output, up to which it is called narrow
ITEMS_MARK = "items_of_a_step"  # the attribute of a tensor that needs no inner gradient


@dataclass(frozen=True)
class FastProblem(Problem):
    """The same inner step and outer loss to rounding, where they are differentiated on a CPU.

    What is not differentiated through, as a student's training, uses torch's kernels, to the same bits.
    """

    @property
    def of_torch(self) -> Problem:
        return Problem(self.network, self.rule, self.inner_loss, self.outer_loss)

    @cached_property
    def step_problem(self) -> Problem:
        """The problem with fast convolutions, for the inner steps."""
        return self.with_fast(FastConvolution)

    @cached_property
    def batch_problem(self) -> Problem:
        """The problem with fast pooling, for the batch of real items."""
        return self.with_fast(FastPooling)

    def with_fast(self, fast: "type[FastConvolution] | type[FastPooling]") -> Problem:
        """The problem of a network with one kind of fast module."""
        network = replace_modules(self.network, fast)
        return Problem(network, self.rule, self.inner_loss, self.outer_loss)

    def advance(self, state: State, step: AnyStep) -> State:
        if not torch.is_grad_enabled():
            return super().advance(state, step)
        setattr(step.x, ITEMS_MARK, True)
        return self.step_problem.advance(state, step)

    def loss(
        self, state: State, x: Float[Tensor, "batch *item"], y: Int[Tensor, " batch"]
    ) -> Float[Tensor, ""]:
        return self.batch_problem.loss(state, x, y)


def replace_modules(network: nn.Module, fast: "type[FastConvolution] | type[FastPooling]") -> nn.Module:
    """A copy of the network, of the same parameters, in which `fast` replaces the modules that it can.

    The network itself where there are none.
    """
    if not any(fast.can_replace(module) for module in network.modules()):
        return network
    network = copy_network(network)
    for module in network.modules():
        if fast.can_replace(module):
            module.__class__ = fast
    return network


class FastConvolution(nn.Conv2d):
    """A convolution of few input channels by ConvolutionFunction."""

    @staticmethod
    def can_replace(module: nn.Module) -> bool:
        """Whether it is a convolution of few channels without stride, dilation or groups, padded by zeros."""
        if type(module) is not nn.Conv2d:
            return False
        return module.in_channels <= MAX_INPUT_CHANNELS and is_plain_convolution(module)

    def forward(self, x: Float[Tensor, "b channels height width"]) -> Float[Tensor, "b filters h w"]:
        if x.ndim != 4:
            return super().forward(x)
        is_items = hasattr(x, ITEMS_MARK)
        outputs: Tensor = ConvolutionFunction.apply(x, self.weight, self.bias, self.padding, is_items)
        return outputs


def is_plain_convolution(conv: nn.Conv2d) -> bool:
    """Whether a convolution has no stride, dilation or groups, and pads by a number of zeros."""
    supported = conv.stride == conv.dilation == (1, 1) and conv.groups == 1
    return supported and conv.padding_mode == "zeros" and not isinstance(conv.padding, str)


# A convolution is linear in x and in w, and so are its two gradients: the derivative of each of these three
# is the two others. Shapes: x (b, c, h, w), w (k, c, r, s), and g, v like the output or the gradient.


class ConvolutionFunction(Function):
    """conv(x, w) + bias.

    The gradient of a step's items is left out where it would be differentiated once more: that is in the
    inner gradient, which needs the weights' alone.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, w: Tensor, bias: Tensor | None, padding: tuple[int, int], is_items: bool
    ) -> Tensor:
        ctx.save_for_backward(x, w)
        ctx.padding, ctx.is_items = padding, is_items
        return F.conv2d(x, w, bias, padding=padding)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        (x, w), (needs_x, needs_w, needs_bias, *_) = ctx.saved_tensors, ctx.needs_input_grad
        needs_x = needs_x and not (ctx.is_items and torch.is_grad_enabled())
        grad_x = InputGradient.apply(g, w, x.shape, ctx.padding) if needs_x else None
        grad_w = WeightGradient.apply(x, g, w.shape, ctx.padding) if needs_w else None
        return grad_x, grad_w, g.sum((0, 2, 3)) if needs_bias else None, None, None


class InputGradient(Function):
    """d conv(x, w) / d x contracted with g."""

    @staticmethod
    def forward(ctx: Any, g: Tensor, w: Tensor, shape: torch.Size, padding: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(g, w)
        ctx.padding = padding
        return input_gradient(g, w, shape, padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, v: Tensor) -> Any:
        (g, w), (needs_g, needs_w, *_) = ctx.saved_tensors, ctx.needs_input_grad
        grad_g = F.conv2d(v, w, padding=ctx.padding) if needs_g else None
        return grad_g, weight_gradient(v, g, w.shape, ctx.padding) if needs_w else None, None, None


class WeightGradient(Function):
    """d conv(x, w) / d w contracted with g."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, g: Tensor, shape: torch.Size, padding: tuple[int, int]) -> Tensor:
        ctx.save_for_backward(x, g)
        ctx.padding = padding
        return weight_gradient(x, g, shape, padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, v: Tensor) -> Any:
        (x, g), (needs_x, needs_g, *_) = ctx.saved_tensors, ctx.needs_input_grad
        grad_x = input_gradient(g, v, x.shape, ctx.padding) if needs_x else None
        return grad_x, F.conv2d(x, v, padding=ctx.padding) if needs_g else None, None, None


def input_gradient(g: Tensor, w: Tensor, shape: torch.Size, padding: tuple[int, int]) -> Tensor:
    """d conv(x, w) / d x contracted with g: filter by filter, or a matrix product whose windows are added."""
    rows, columns = w.shape[2:]
    full = (rows - 1 - padding[0], columns - 1 - padding[1])
    if w.shape[1] == 1 and len(w) <= MAX_NARROW_CHANNELS and min(full) >= 0:
        return F.conv2d(g, w.flip(2, 3), padding=full, groups=len(w)).sum(1, keepdim=True)
    return F.fold(w.flatten(1).T @ g.flatten(2), shape[2:], (rows, columns), padding=padding)


def weight_gradient(x: Tensor, g: Tensor, shape: torch.Size, padding: tuple[int, int]) -> Tensor:
    """d conv(x, w) / d w contracted with g, by torch's own kernel."""
    like, mask = g.new_empty(shape), [False, True, False]
    gradients = torch.ops.aten.convolution_backward(
        g, x, like, None, [1, 1], list(padding), [1, 1], False, [0, 0], 1, mask
    )
    return gradients[1]


class FastPooling(nn.MaxPool2d):
    """Max pooling of 2×2 by PoolingFunction."""

    @staticmethod
    def can_replace(module: nn.Module) -> bool:
        """Whether it is max pooling of 2×2, side by side."""
        if type(module) is not nn.MaxPool2d or module.return_indices:
            return False
        supported = module.kernel_size in (2, (2, 2)) and module.stride in (2, (2, 2))
        return supported and module.padding in (0, (0, 0)) and module.dilation in (1, (1, 1))

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c half_h half_w"]:
        if x.ndim != 4 or x.shape[2] % 2 or x.shape[3] % 2 or x.device.type != "cpu":
            return super().forward(x)
        if not torch.is_grad_enabled():
            rows = torch.maximum(x[..., ::2, :], x[..., 1::2, :])
            return torch.maximum(rows[..., ::2], rows[..., 1::2])
        outputs: Tensor = PoolingFunction.apply(x)
        return outputs


class PoolingFunction(Function):
    """The maximum of the four slices; of equal numbers the first, row by row, has the gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        left, right = x[..., ::2], x[..., 1::2]
        row_maxima = torch.maximum(left, right)
        upper, lower = row_maxima[..., ::2, :], row_maxima[..., 1::2, :]
        ctx.save_for_backward(right > left, lower > upper)
        return torch.maximum(upper, lower)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, g: Tensor) -> Tensor:
        is_right, is_lower = ctx.saved_tensors
        b, c, h, w = g.shape
        full = g.new_empty(b, c, 2 * h, 2 * w)
        lower = g * is_lower
        for row, share in enumerate((g - lower, lower)):
            rows = full[..., row::2, :]
            torch.mul(share, is_right[..., row::2, :], out=rows[..., 1::2])
            torch.sub(share, rows[..., 1::2], out=rows[..., ::2])
        return full
