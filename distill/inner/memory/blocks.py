"""checkpoint_blocks(): activation checkpointing that can be differentiated twice (Chen et al. 2016).

A block keeps its input alone. What lies between is computed again for each gradient, a slice of the batch at
a time, so that the memory of a pass is the inputs of all blocks and the graph of one block for one slice.

torch.utils.checkpoint is not enough here. It computes a block again with the weights that the module holds
then, which are no longer those of a functional call; and the graph of an inner gradient, which is
differentiated once more, keeps all that was computed again.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from functools import partial, reduce
from itertools import compress
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from distill.errors import NetworkError
from distill.networks.functional import call_with_weights, copy_network

SLICE = 8  # items whose graph is held at a time; at 128×128, 32 take the same time and 1.7 times the memory
Tensors = Sequence[Tensor]
Flags = Sequence[bool]
Call = Callable[..., Tensor]  # of a block: (x, *weights) → outputs


def checkpoint_blocks(network: nn.Module) -> nn.Module:
    """A copy of the network, of the same parameters, whose blocks are computed again for each gradient.

    A block begins at each convolution, or module that holds some, of an nn.Sequential with several of them.
    Gradients are the same to the rounding of sums over slices. Two steps of a ConvNet of width 32 on ten
    items, and 64 real ones, all of 128×128: 450 MiB in place of 1,293, for 1.6 times the time. A network
    without such blocks is as it was. Raises NetworkError for one with batch norm.
    """
    network = copy_network(network)
    if any(True for _ in network.buffers()):
        raise NetworkError(
            "blocks of a network with batch norm cannot be computed again: each time, its averages move"
        )
    for module in find_chains(network):
        module.__class__ = CheckpointedSequential
    return network


def check_blocks(network: nn.Module) -> None:
    """Raise NetworkError for a network in which checkpoint_blocks() finds none."""
    if not any(True for _ in find_chains(network)):
        raise NetworkError(
            "--checkpoint-blocks has no effect on this network, which has no chain of convolutions: leave it"
            " out, or give another network, as convnet"
        )


def find_chains(module: nn.Module) -> Iterator[nn.Module]:
    """Every nn.Sequential of several modules with convolutions that is not in another one."""
    if type(module) is nn.Sequential and sum(holds(part, nn.Conv2d) for part in module) > 1:
        yield module
        return
    for part in module.children():
        yield from find_chains(part)


def holds(module: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether a module is of a kind, or holds one that is."""
    return any(isinstance(part, kind) for part in module.modules())


class CheckpointedSequential(nn.Sequential):
    """An nn.Sequential that keeps the inputs of its blocks alone, where gradients are recorded."""

    def forward(self, x: Tensor) -> Tensor:
        if not torch.is_grad_enabled():
            return super().forward(x)
        for block in self.split_blocks():
            x = block(x) if holds(block, nn.Linear) else call_block(block, x)
        return x

    def split_blocks(self) -> Iterator[nn.Sequential]:
        """The modules in their order, a block from each one with convolutions or matrices to the next."""
        block: list[nn.Module] = []
        for module in self:
            if block and (holds(module, nn.Conv2d) or holds(module, nn.Linear)):
                yield nn.Sequential(*block)
                block = []
            block.append(module)
        yield nn.Sequential(*block)


def call_block(block: nn.Module, x: Tensor) -> Tensor:
    """The block's outputs, by the weights that it has now: a functional call takes them away at its end."""
    weights, device = dict(block.named_parameters()), x.device.type
    enabled, dtype = torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)
    autocast = partial(torch.autocast, device, dtype, enabled, cache_enabled=False)
    call = partial(run_block, block, tuple(weights), autocast)
    outputs: Tensor = BlockFunction.apply(call, x, *weights.values())
    return outputs


def run_block(
    block: nn.Module, names: tuple[str, ...], autocast: Callable[[], AbstractContextManager[Any]],
    x: Tensor, *weights: Tensor,
) -> Tensor:  # fmt: skip
    """The outputs of a block with these weights, in the precision in which it was first called."""
    with autocast():
        outputs: Tensor = call_with_weights(block, dict(zip(names, weights, strict=True)), x)
        return outputs


# Notation: f is the block, x its input, w its weights, g the gradient for its outputs, and v those for what
# BlockGradient returns. Nothing but x, w and g is kept. `needed` says which inputs need a gradient.


class BlockFunction(Function):
    """f(x, w)."""

    @staticmethod
    def forward(ctx: Any, call: Call, x: Tensor, *weights: Tensor) -> Tensor:
        ctx.save_for_backward(x, *weights)
        ctx.call = call
        return torch.cat([call(part, *weights) for part in x.split(SLICE)])

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Any:
        needed = ctx.needs_input_grad[1:]
        return None, *scatter(BlockGradient.apply(ctx.call, needed, g, *ctx.saved_tensors), needed)


class BlockGradient(Function):
    """(d f / d x, d f / d w) contracted with g, those that are needed."""

    @staticmethod
    def forward(ctx: Any, call: Call, needed: Flags, g: Tensor, x: Tensor, *weights: Tensor) -> Any:
        ctx.save_for_backward(g, x, *weights)
        ctx.call, ctx.needed = call, needed
        slices = zip(g.split(SLICE), x.split(SLICE), strict=True)
        return join([pull_back(call, needed, g, (x, *weights)) for g, x in slices], int(needed[0]))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *v: Tensor) -> Any:
        (g, x, *weights), needed = ctx.saved_tensors, ctx.needs_input_grad[2:]
        by_item = [t.split(SLICE) for t in (g, x, *v[: int(ctx.needed[0])])]
        gradients = []
        for g, x, *v_x in zip(*by_item, strict=True):
            v_slice = (*v_x, *v[len(v_x) :])
            gradients.append(pull_back_twice(ctx.call, ctx.needed, needed, (g, x, *weights), v_slice))
        return None, None, *scatter(join(gradients, sum(needed[:2])), needed)


def pull_back(call: Call, needed: Flags, g: Tensor, inputs: Tensors) -> Tensors:
    """The needed gradients of f for its inputs (x, *w), contracted with g."""
    inputs = [t.detach().requires_grad_(need) for t, need in zip(inputs, needed, strict=True)]
    with torch.enable_grad():
        outputs = call(*inputs)
    return differentiate(outputs, list(compress(inputs, needed)), g)


def pull_back_twice(call: Call, first: Flags, second: Flags, inputs: Tensors, v: Tensors) -> Tensors:
    """The gradients for (g, x, *w) that `second` needs, of those that `first` needs, contracted with v."""
    g, *inputs = [t.detach().requires_grad_() for t in inputs]
    with torch.enable_grad():
        gradients = differentiate(call(*inputs), list(compress(inputs, first)), g, create_graph=True)
    return differentiate(gradients, list(compress((g, *inputs), second)), v)


def differentiate(outputs: Any, inputs: Tensors, g: Any, create_graph: bool = False) -> Tensors:
    """d outputs / d inputs contracted with g; zeros where nothing flows."""
    return torch.autograd.grad(
        outputs, inputs, g, create_graph=create_graph, allow_unused=True, materialize_grads=True
    )


def join(parts: Sequence[Tensors], by_item: int) -> Tensors:
    """Gradients of slices as one: the first so many have a row per item, the others are summed."""
    columns = enumerate(zip(*parts, strict=True))
    return tuple(torch.cat(column) if i < by_item else reduce(torch.add, column) for i, column in columns)


def scatter(gradients: Tensors, needed: Flags) -> Iterator[Tensor | None]:
    """The gradients in the places that need one, None in the others."""
    remaining = iter(gradients)
    return (next(remaining) if need else None for need in needed)
