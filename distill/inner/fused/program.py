"""Program: the layers of a fused network in their order, and its four passes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple, cast

from torch import Tensor, nn

from distill.inner.fused.convolution import PooledConvolution
from distill.inner.fused.layers import Flatten, Linear, ReLU, Trace, Weights
from distill.inner.fused.losses import LossGradient
from distill.inner.kernels import FastPooling, is_plain_convolution

Layer = Any  # of layers.py and convolution.py


class Record(NamedTuple):
    """What a gradient leaves to its derivative: logits, traces, and the gradient of each layer's outputs."""

    logits: Tensor
    traces: list[Trace]
    deltas: list[Tensor | None]


class Derivative(NamedTuple):
    """R of a gradient of the weights, and the gradients of items and targets of its product with R{w}."""

    weights: list[Tensor]
    x: Tensor | None
    y: Tensor


@dataclass(frozen=True)
class Program:
    """The layers, how many weights each takes, and the inner loss."""

    layers: tuple[Layer, ...]
    counts: tuple[int, ...]
    loss: LossGradient

    def fits(self, x: Tensor) -> bool:
        """Whether a batch has the axes that the first layer but a ReLU takes."""
        first = next(layer for layer in self.layers if not isinstance(layer, ReLU))
        if isinstance(first, Flatten):
            return x.ndim >= 3
        return x.ndim == (2 if isinstance(first, Linear) else 4)

    def split(self, weights: Iterable[Tensor]) -> list[Weights]:
        """The weights of each layer."""
        rest = iter(weights)
        return [[next(rest) for _ in range(count)] for count in self.counts]

    def gradient(self, x: Tensor, y: Tensor, weights: Sequence[Tensor]) -> tuple[list[Tensor], Record]:
        """The gradient of the inner loss for each weight, for items x (batch, *item) and targets y."""
        ws, a = self.split(weights), x if x.ndim == 2 else x.movedim(0, -1).contiguous()
        traces = []
        for layer, w in zip(self.layers, ws, strict=True):
            a, trace = layer.forward(a, w)
            traces.append(trace)
        gradients, deltas = self.pull(ws, traces, self.loss.gradient(a, y))
        return gradients, Record(a, traces, deltas)

    def pull(
        self, ws: list[Weights], traces: list[Trace], delta: Tensor
    ) -> tuple[list[Tensor], list[Tensor | None]]:
        """The gradients of the weights and of each layer's outputs, from that of the logits."""
        first = next(i for i, count in enumerate(self.counts) if count)
        deltas: list[Tensor | None] = [delta]
        gradients: list[Tensor] = []
        for i in reversed(range(first, len(self.layers))):
            inputs, gradient = self.layers[i].backward(traces[i], ws[i], deltas[0], i > first)
            gradients[:0], deltas[:0] = gradient, [inputs]
        return gradients, [*[None] * first, *deltas[1:]]

    def derivative(
        self, record: Record, y: Tensor, weights: Sequence[Tensor], directions: Sequence[Tensor], deep: bool
    ) -> Derivative:
        """The derivative of gradient() along directions of the weights; of x where `deep` asks for it."""
        ws, rs = self.split(weights), self.split(directions)
        r_traces: list[Trace] = []
        r_a: Any = None  # a tensor from the first layer with weights on
        for layer, trace, w, r_w in zip(self.layers, record.traces, ws, rs, strict=True):
            r_a, r_trace = layer.tangent(trace, w, r_w, r_a)
            r_traces.append(r_trace)
        r_delta, r_y = self.loss.tangent(record.logits, y, r_a)
        gradients: list[Tensor] = []
        for i in reversed(range(len(self.layers))):
            r_delta, gradient = self.layers[i].backward_tangent(
                record.traces[i], r_traces[i], ws[i], rs[i], record.deltas[i], r_delta,
                deep or any(self.counts[:i]),
            )  # fmt: skip
            gradients[:0] = gradient
            if r_delta is None:
                break
        return Derivative(gradients, self.restore(r_delta), r_y)

    @staticmethod
    def restore(r_x: Tensor | None) -> Tensor | None:
        """The gradient of items as they come."""
        return r_x if r_x is None or r_x.ndim == 2 else r_x.movedim(-1, 0)


# Which networks can be fused


def build_program(network: nn.Module, loss: LossGradient) -> Program | None:
    """The program of a network; None where a part of it has none."""
    modules = list_leaves(network)
    layers = build_layers(modules)
    weights = [list(module.parameters()) for module in modules if not isinstance(module, nn.MaxPool2d)]
    flat = [id(weight) for row in weights for weight in row]
    is_shared = len({id(module) for module in modules}) < len(modules) or len(set(flat)) < len(flat)
    if layers is None or is_shared or not any(weights) or not is_in_order(layers):
        return None
    return Program(tuple(layers), tuple(map(len, weights)), loss)


def list_leaves(network: nn.Module) -> list[nn.Module]:
    """What a network of nested nn.Sequential calls, one after the other, with pooling before a ReLU.

    The two commute: both are monotone, and where all four numbers are below zero the slope is zero.
    """
    if type(network).forward is not nn.Sequential.forward or has_hooks(network):
        return [network]
    modules = network._modules.values()  # children() would name a shared module once
    leaves = [
        leaf
        for module in modules
        if module is not None
        for leaf in list_leaves(module)
        if type(leaf) is not nn.Identity
    ]
    for i, (module, following) in enumerate(pairwise(leaves)):
        if isinstance(module, nn.ReLU) and isinstance(following, nn.MaxPool2d):
            leaves[i : i + 2] = [following, module]
    return leaves


def has_hooks(module: nn.Module) -> bool:
    """Whether something is called beside the module's forward."""
    return bool(module._forward_hooks or module._forward_pre_hooks or module._backward_hooks)


def build_layers(modules: Sequence[nn.Module]) -> list[Layer] | None:
    """The layer of each module, of a convolution and the pooling after it one; None where there is none."""
    layers, rest = [], iter(modules)
    for module in rest:
        layer = build_layer(module)
        if layer is None or (isinstance(layer, PooledConvolution) and not is_pooling(next(rest, None))):
            return None
        layers.append(layer)
    return layers


def build_layer(module: nn.Module) -> Layer | None:
    """The layer of a module; None where there is none."""
    if has_hooks(module):
        return None
    if type(module) is nn.ReLU:
        return ReLU()
    if type(module) is nn.Flatten and (module.start_dim, module.end_dim) == (1, -1):
        return Flatten()
    if type(module) is nn.Linear and module.bias is not None:
        return Linear()
    if type(module) is nn.Conv2d and module.bias is not None and is_plain_convolution(module):
        return PooledConvolution(
            *(cast(tuple[int, int], size) for size in (module.kernel_size, module.padding))
        )
    return None


def is_pooling(module: nn.Module | None) -> bool:
    """Whether it is max pooling of 2×2 that leaves out an odd last row."""
    return isinstance(module, nn.MaxPool2d) and FastPooling.can_replace(module) and not module.ceil_mode


def is_in_order(layers: Sequence[Layer]) -> bool:
    """Whether convolutions come first, then the flattening, then linear layers."""
    kinds = [type(layer) for layer in layers if not isinstance(layer, ReLU)]
    convolutions, linears = kinds.count(PooledConvolution), kinds.count(Linear)
    flattening = [Flatten] * kinds.count(Flatten)
    expected = [PooledConvolution] * convolutions + flattening + [Linear] * linears
    return (
        kinds == expected and len(flattening) == (1 if convolutions else len(flattening)) <= 1 and linears > 0
    )
