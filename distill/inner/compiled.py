"""Compiled: a Problem as machine code by torch.compile, for long runs of small image networks."""

import copy
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from distill.inner.kernels import NARROW, Quick, simple
from distill.inner.problem import Problem, State
from distill.inner.step import Step


@dataclass(frozen=True)
class Compiled(Quick):
    """The same inner step to rounding, one graph that is compiled when it is first met.

    torch.compile differentiates once: the inner gradient is part of the graph (torch.func.grad), so that
    the one backward is the second. Steps without a graph, as students make them, are left as they are; the
    outer batch gains nothing and is as in Quick. The network must not choose by its values which operations
    it does.
    """

    backend: str = "inductor"

    @cached_property
    def plain(self) -> Problem:
        """The problem that is traced: narrow convolutions are matrix products there."""
        plain = Problem(unfolded(self.network), self.rule, self.inner_loss, self.outer_loss)
        assert plain.names == self.names  # looked up here: a trace cannot fill a cached property
        return plain

    def advance(self, state: State, step: Step) -> State:
        return self._advance(state, step) if torch.is_grad_enabled() else super().advance(state, step)

    @cached_property
    def _advance(self) -> Callable[[State, Step], State]:
        plain, g = self.plain, len(self.names)

        def advance(state: State, step: Step) -> State:
            grads = torch.func.grad(plain.inner)(state[:g], step)
            moved, memory = plain.rule.update(state[:g], state[g:], grads, step.lr.expand(g).unbind())
            return (*moved, *memory)

        return torch.compile(advance, fullgraph=True, dynamic=False, backend=self.backend)


def compiler() -> bool:
    """Whether this machine has the C++ compiler that a CPU needs."""
    return any(map(shutil.which, ("g++", "c++", "clang++")))


def unfolded(network: nn.Module) -> nn.Module:
    """A copy of the network whose narrow convolutions are matrix products; parameters keep their names."""
    network = copy.deepcopy(network)
    for module in network.modules():
        if type(module) is nn.Conv2d and simple(module) and module.out_channels <= NARROW:
            module.__class__ = Unfolded
    return network


class Unfolded(nn.Conv2d):
    """Conv2d as one matrix product over all windows."""

    def forward(self, x: Float[Tensor, "b channels height width"]) -> Float[Tensor, "b more h w"]:
        down, right = map(int, self.padding)  # not in words: see simple()
        rows, columns = self.kernel_size
        x = F.pad(x, (right, right, down, down))
        windows = x.unfold(2, rows, 1).unfold(3, columns, 1)
        b, h, w = len(x), windows.shape[2], windows.shape[3]
        found = windows.permute(0, 2, 3, 1, 4, 5).reshape(b * h * w, -1) @ self.weight.flatten(1).T
        found = found if self.bias is None else found + self.bias
        return found.view(b, h, w, -1).permute(0, 3, 1, 2)
