"""CompiledProblem: a Problem as machine code by torch.compile, for long runs of small image networks."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from distill.inner.kernels import MAX_NARROW_CHANNELS, FastProblem, is_plain_convolution
from distill.inner.problem import Problem, State
from distill.inner.step import AnyStep
from distill.networks.functional import copy_network


@dataclass(frozen=True)
class CompiledProblem(FastProblem):
    """The same inner step to rounding, as one graph that is compiled at its first call.

    torch.compile differentiates once: the inner gradient is part of the graph (torch.func.grad), so that
    the one backward is the second. Steps without a graph, as students make them, are not compiled; the
    outer batch gains nothing by it and is FastProblem's. The operations of the network must not depend on
    its values.
    """

    backend: str = "inductor"

    @cached_property
    def traced_problem(self) -> Problem:
        """The problem that is traced: narrow convolutions are matrix products there."""
        network = unfold_convolutions(self.network)
        problem = Problem(network, self.rule, self.inner_loss, self.outer_loss)
        assert problem.names == self.names  # filled in now: a trace cannot fill a cached property
        assert problem.buffer_names == self.buffer_names
        return problem

    def advance(self, state: State, step: AnyStep) -> State:
        return self.compiled_advance(state, step) if torch.is_grad_enabled() else super().advance(state, step)

    @cached_property
    def compiled_advance(self) -> Callable[[State, AnyStep], State]:
        """advance() of the traced problem, compiled."""
        problem, g = self.traced_problem, len(self.names)

        def advance(state: State, step: AnyStep) -> State:
            weights, memory, buffers = problem.split(state)

            def step_loss(weights: State) -> Tensor:
                return problem.step_loss((*weights, *memory, *buffers), step)

            gradients = torch.func.grad(step_loss)(weights)
            weights, memory = problem.rule.update(weights, memory, gradients, step.lr.expand(g).unbind())
            return (*weights, *memory, *buffers)

        return torch.compile(advance, fullgraph=True, dynamic=False, backend=self.backend)


def has_compiler() -> bool:
    """Whether this machine has the C++ compiler that torch.compile needs on a CPU."""
    return any(map(shutil.which, ("g++", "c++", "clang++")))


def unfold_convolutions(network: nn.Module) -> nn.Module:
    """A copy of the network whose narrow convolutions are matrix products; parameters keep their names."""
    network = copy_network(network)
    for module in network.modules():
        if type(module) is nn.Conv2d and is_narrow(module) and is_plain_convolution(module):
            module.__class__ = UnfoldedConvolution
    return network


def is_narrow(conv: nn.Conv2d) -> bool:
    """Whether a convolution has so few filters that a matrix product is faster."""
    return conv.out_channels <= MAX_NARROW_CHANNELS


class UnfoldedConvolution(nn.Conv2d):
    """Conv2d as one matrix product over all windows."""

    def forward(self, x: Float[Tensor, "b channels height width"]) -> Float[Tensor, "b filters h w"]:
        down, right = map(int, self.padding)  # numbers: see is_plain_convolution()
        rows, columns = self.kernel_size
        x = F.pad(x, (right, right, down, down))
        windows = x.unfold(2, rows, 1).unfold(3, columns, 1)
        b, h, w = len(x), windows.shape[2], windows.shape[3]
        outputs = windows.permute(0, 2, 3, 1, 4, 5).reshape(b * h * w, -1) @ self.weight.flatten(1).T
        outputs = outputs if self.bias is None else outputs + self.bias
        return outputs.view(b, h, w, -1).permute(0, 3, 1, 2)
