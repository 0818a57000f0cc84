"""Outer passes in bfloat16: nearly the same gradient, and float32 everywhere else."""

import pytest
import torch

from distill.inner.fused.problem import FusedProblem
from distill.inner.memory.autocast import AUTOCAST, AutocastProblem, outer_precision
from distill.inner.problem import Problem
from distill.inner.rules import SGD
from distill.inner.step import Step
from distill.networks.build import build_network
from distill.networks.initial import draw_weights
from distill.randomness import stream

SHAPE = (3, 16, 16)


@pytest.mark.parametrize("kind", [Problem, FusedProblem])
def test_the_outer_gradient_is_almost_that_of_float32(kind: type[Problem]) -> None:
    network, gradients = build_network("convnet", SHAPE, 3, width=16), []
    x, items = (torch.randn(6, *SHAPE, generator=stream(name)) for name in ("x", "items"))
    for problem in (kind(network, SGD()), AUTOCAST[kind](network, SGD())):
        leaf = items.clone().requires_grad_()
        state = problem.start(draw_weights(network, stream("w")))
        state = problem.advance(state, Step(leaf, torch.eye(3).repeat(2, 1), torch.tensor(0.1)))
        value = problem.loss(state, x, torch.arange(6) % 3)
        assert value.dtype == state[0].dtype == torch.float32
        gradients.append(torch.autograd.grad(value, leaf)[0])
    exact, rounded = gradients
    assert not torch.equal(exact, rounded)
    assert rounded.dtype == torch.float32
    assert torch.cosine_similarity(exact.flatten(), rounded.flatten(), dim=0) > 0.98


def test_real_items_pass_in_bfloat16_for_such_a_problem_alone() -> None:
    network, x = build_network("convnet", SHAPE, 3, width=4), torch.randn(2, *SHAPE)
    for problem, dtype in ((Problem(network), torch.float32), (AutocastProblem(network), torch.bfloat16)):
        with outer_precision(problem, x):
            assert network(x).dtype == dtype
        assert network(x).dtype == torch.float32
