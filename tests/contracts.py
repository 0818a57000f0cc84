"""What every network, rule and augmentation has to pass: the tests take them from the rooms' tables."""

from collections.abc import Callable
from inspect import signature

import torch
from torch import Tensor, nn

from distill.data.augment.batch import Transform
from distill.inner.dry_run import check_network
from distill.inner.problem import Problem
from distill.inner.rules import Rule
from distill.inner.step import Step
from distill.networks import IMAGES, NETWORKS
from distill.networks.build import build_network
from distill.networks.functional import call_with_weights, persistent_tensors
from distill.networks.initial import draw_weights
from distill.randomness import stream
from distill.registry import load

Optimiser = Callable[[list[nn.Parameter]], torch.optim.Optimizer]


def build_small(name: str, shape: tuple[int, ...], classes: int) -> nn.Module:
    """A network of eight channels or units, where it has a width."""
    has_width = "width" in signature(load(NETWORKS[name])).parameters
    return build_network(name, shape, classes, **({"width": 8} if has_width else {}))


def choose_small_shape(name: str) -> tuple[int, ...]:
    """Grey images as small as a network takes them, but 16×16 at least."""
    return (1, 28, 28) if name.startswith("vgg11") else (1, 16, 16)


STUDENT_NETWORKS = [n for n in IMAGES if any(True for _ in build_small(n, (3, 32, 32), 3).buffers())]
UNROLLED_NETWORKS = [n for n in IMAGES if n not in STUDENT_NETWORKS]


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
    check_outer_gradient(problem, state, x, torch.eye(classes, dtype=torch.float64)[:3])


def student_contract(network: nn.Module, shape: tuple[int, ...], classes: int) -> None:
    """As network_contract, for a network with batch norm: buffers of its own move, in train mode alone."""
    network = network.double()
    weights = draw_weights(network, stream("contract"))
    assert list(weights) == list(persistent_tensors(network))
    assert {name.rpartition(".")[2] for name, _ in network.named_buffers()} == {
        "running_mean", "running_var", "num_batches_tracked",
    }  # fmt: skip
    x = torch.randn(3, *shape, generator=stream("items"), dtype=torch.float64)
    check_network(network, x, classes)
    moved = {name: w.clone() for name, w in weights.items()}
    logits = call_with_weights(network, moved, x)
    assert logits.shape == (3, classes)
    assert all(p.grad is not None for p in differentiate(network, x))
    changed = {name for name, w in moved.items() if not torch.equal(w, weights[name])}
    assert changed == {name for name, _ in network.named_buffers()}
    network.eval()
    torch.testing.assert_close(
        call_with_weights(network, moved, x[:1]), call_with_weights(network, moved, x)[:1]
    )


def differentiate(network: nn.Module, x: Tensor) -> list[nn.Parameter]:
    """The parameters, with their gradients of a loss of the network's own weights."""
    network(x).square().sum().backward()
    return list(network.parameters())


def check_outer_gradient(problem: Problem, state: tuple[Tensor, ...], x: Tensor, y: Tensor) -> None:
    """The outer gradient through two steps is finite and agrees with a finite difference."""
    items, direction = x.clone().requires_grad_(), torch.randn(x.shape, generator=stream("way")).double()

    def outer_loss(items: Tensor) -> Tensor:
        after = problem.start(problem.weights(state))
        for _ in range(2):
            after = problem.advance(after, Step(items, y, torch.tensor(0.01, dtype=torch.float64)))
        return problem.inner_loss(problem.logits(after, x.flip(0)), y)

    (gradient,) = torch.autograd.grad(outer_loss(items), items)
    assert gradient.isfinite().all()
    assert gradient.any()
    small = 1e-8  # few kinks of ReLU and pooling lie in so short an interval
    with torch.no_grad():
        slope = (outer_loss(x + small * direction) - outer_loss(x - small * direction)) / (2 * small)
    torch.testing.assert_close((gradient * direction).sum(), slope, rtol=1e-3, atol=1e-7)


def rule_contract(rule: Rule, optimiser: Optimiser) -> None:
    """Ten steps equal the torch optimiser's to rounding, and change nothing in place."""
    initial = [torch.linspace(-1, 1, 5).double(), torch.linspace(0, 2, 6).double().view(2, 3)]
    copies = [w.clone() for w in initial]
    parameters = [nn.Parameter(w.clone()) for w in initial]
    torch_optimiser, weights, memory = optimiser(parameters), list(initial), rule.start(initial)
    lrs = [torch.tensor(0.1, dtype=torch.float64)] * 2
    for step in range(10):
        gradients = [torch.sin(3 * w + step) for w in weights]
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient.clone()
        torch_optimiser.step()
        weights, memory = rule.update(weights, memory, gradients, lrs)
    for weight, parameter in zip(weights, parameters, strict=True):
        torch.testing.assert_close(weight, parameter.detach(), rtol=1e-12, atol=1e-12)
    assert all(torch.equal(a, b) for a, b in zip(initial, copies, strict=True))


def augmentation_contract(transform: Transform) -> None:
    """The shape stays, equal images change equally, and the gradient agrees with finite differences."""
    r = torch.tensor([0.7, -0.4, 0.2])
    x = torch.randn(3, 2, 9, 9, generator=stream("x"), dtype=torch.float64).requires_grad_()
    assert transform(x, r).shape == x.shape
    twins = transform(x[:1].expand(2, -1, -1, -1), r)
    torch.testing.assert_close(twins[0], twins[1])
    assert torch.autograd.gradcheck(lambda x: transform(x, r), (x,))
