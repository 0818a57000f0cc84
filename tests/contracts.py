"""What every plug-in has to pass. A new one is added to its registry, and the tests find it."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from distill.inner.problem import Problem
from distill.inner.rules import Rule
from distill.inner.step import Step
from distill.networks.initial import draw_weights
from distill.randomness import stream


def network_contract(network: nn.Module, shape: tuple[int, ...], classes: int) -> None:
    """Logits per class, no buffers, every weight drawn and used, twice differentiable, items independent."""
    assert not list(network.buffers())
    network = network.double()
    weights = draw_weights(network, stream("contract"))
    assert list(weights) == [name for name, _ in network.named_parameters()]
    problem = Problem(network)
    state = problem.start(weights)
    x = torch.randn(3, *shape, generator=stream("items"), dtype=torch.float64)
    logits = problem.logits(state, x)
    assert logits.shape == (3, classes)
    torch.testing.assert_close(problem.logits(state, x[:1]), logits[:1])
    second_order(problem, state, x, torch.eye(classes, dtype=torch.float64)[:3])


def second_order(problem: Problem, state: tuple[Tensor, ...], x: Tensor, y: Tensor) -> None:
    """The outer gradient through two steps is finite and agrees with a finite difference."""
    items, direction = x.clone().requires_grad_(), torch.randn(x.shape, generator=stream("way")).double()

    def value(items: Tensor) -> Tensor:
        after = problem.start(problem.weights(state))
        for _ in range(2):
            after = problem.advance(after, Step(items, y, torch.tensor(0.01, dtype=torch.float64)))
        return problem.inner_loss(problem.logits(after, x.flip(0)), y)

    (grad,) = torch.autograd.grad(value(items), items)
    assert grad.isfinite().all()
    assert grad.any()
    small = 1e-7  # few kinks of ReLU and pooling lie in so short an interval
    with torch.no_grad():
        slope = (value(x + small * direction) - value(x - small * direction)) / (2 * small)
    torch.testing.assert_close((grad * direction).sum(), slope, rtol=1e-3, atol=1e-7)


def rule_contract(rule: Rule, optimiser: Callable[[list[nn.Parameter]], torch.optim.Optimizer]) -> None:
    """Ten steps equal the torch optimiser's to rounding, and change nothing in place."""
    weights = [torch.linspace(-1, 1, 5).double(), torch.linspace(0, 2, 6).double().view(2, 3)]
    before = [w.clone() for w in weights]
    parameters = [nn.Parameter(w.clone()) for w in weights]
    theirs, ours, memory = optimiser(parameters), list(weights), rule.start(weights)
    rates = [torch.tensor(0.1, dtype=torch.float64)] * 2
    for step in range(10):
        grads = [torch.sin(3 * w + step) for w in ours]
        for parameter, grad in zip(parameters, grads, strict=True):
            parameter.grad = grad.clone()
        theirs.step()
        ours, memory = rule.update(ours, memory, grads, rates)
    for a, b in zip(ours, parameters, strict=True):
        torch.testing.assert_close(a, b.detach(), rtol=1e-12, atol=1e-12)
    assert all(torch.equal(a, b) for a, b in zip(weights, before, strict=True))
