"""Fast kernels equal torch's own: to rounding, in the second derivative, and at ties of the maximum."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd import gradcheck, gradgradcheck

from distill.inner.engines.recompute import Recompute
from distill.inner.engines.unroll import Unroll
from distill.inner.kernels import (
    ConvolutionFunction,
    FastConvolution,
    FastPooling,
    FastProblem,
    PoolingFunction,
    replace_modules,
)
from distill.inner.losses import soft_cross_entropy, squared_error
from distill.inner.problem import Problem, Task
from distill.inner.rules import SGD
from distill.inner.step import Step
from distill.methods.unroll import meta_gradient
from distill.networks.build import build_network
from distill.networks.initial import draw_weights
from distill.outer.starts import start_labels, start_lrs
from distill.outer.synthetic import Synthetic, cyclic_schedule
from distill.randomness import stream
from tests.contracts import UNROLLED_NETWORKS, build_small, choose_small_shape


def random_tensor(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=stream("kernels", seed), dtype=torch.float64).requires_grad_()


CASES = [(1, 4, 0), (1, 4, 2), (1, 20, 1), (3, 4, 0), (3, 4, 1)]  # channels, filters, padding


@pytest.mark.parametrize(("channels", "filters", "padding"), CASES)
def test_a_convolution_has_the_derivatives_of_finite_differences(channels, filters, padding) -> None:
    def convolve(x, w, bias):
        return ConvolutionFunction.apply(x, w, bias, (padding, padding), False)

    inputs = (
        random_tensor(2, channels, 5, 4),
        random_tensor(filters, channels, 3, 3, seed=1),
        random_tensor(filters, seed=2),
    )
    torch.testing.assert_close(convolve(*inputs), F.conv2d(*inputs, padding=padding))
    assert gradcheck(convolve, inputs, fast_mode=True)
    assert gradgradcheck(convolve, inputs, fast_mode=True)


def test_the_gradient_of_items_is_left_out_of_inner_gradients_alone() -> None:
    x, w = random_tensor(2, 1, 5, 5), random_tensor(3, 1, 3, 3, seed=1)
    loss = ConvolutionFunction.apply(x, w, None, (0, 0), True).pow(2).sum()
    grads = torch.autograd.grad(loss, (x, w), create_graph=True, allow_unused=True)
    expected = torch.autograd.grad(F.conv2d(x, w).pow(2).sum(), (x, w))
    assert grads[0] is None
    torch.testing.assert_close(grads[1], expected[1])
    torch.testing.assert_close(torch.autograd.grad(loss, (x, w)), expected)


@pytest.mark.parametrize("values", [3, 10**6], ids=["with ties", "without"])
def test_pooling_equals_torchs_to_the_bit_and_at_ties(values: int) -> None:
    x = torch.randint(values, (3, 2, 8, 6), generator=stream("ties")).float().requires_grad_()
    weights = torch.arange(3 * 2 * 4 * 3).view(3, 2, 4, 3)
    outputs, expected = PoolingFunction.apply(x), F.max_pool2d(x, 2)
    assert torch.equal(outputs, expected)
    grads = [torch.autograd.grad((p * weights).sum(), x)[0] for p in (outputs, expected)]
    assert torch.equal(*grads)


def test_only_modules_with_a_fast_version_are_replaced() -> None:
    network = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3, stride=2), nn.Conv2d(4, 8, 3, padding="same"),
        nn.Conv2d(8, 8, 1), nn.MaxPool2d(2), nn.MaxPool2d(3, 2, 1), nn.AvgPool2d(2),
    )  # fmt: skip
    assert [type(m) is FastConvolution for m in replace_modules(network, FastConvolution)] == [True] + [
        False
    ] * 6
    assert [type(m) is FastPooling for m in replace_modules(network, FastPooling)] == [False] * 4 + [
        True,
        False,
        False,
    ]
    assert not any(isinstance(m, (FastConvolution, FastPooling)) for m in network)
    x = torch.randn(2, 3, 5, 7)
    assert torch.equal(replace_modules(nn.MaxPool2d(2), FastPooling)(x), F.max_pool2d(x, 2))


@pytest.mark.parametrize("name", sorted(UNROLLED_NETWORKS))
@pytest.mark.parametrize("engine", [Unroll(), Recompute()], ids=repr)
@pytest.mark.parametrize("loss", [soft_cross_entropy, squared_error])
def test_the_outer_gradient_equals_that_with_torchs_kernels(name: str, engine, loss) -> None:
    shape = choose_small_shape(name)
    network = build_small(name, shape, 3).double()
    weights = {k: w.double() for k, w in draw_weights(network, stream("w"), "uniform").items()}
    raw_lrs = start_lrs(0.05, 3, len(weights)).double()
    data = Synthetic(
        random_tensor(3, *shape).detach(),
        start_labels(3, 3, "soft").double(),
        raw_lrs,
        cyclic_schedule(3, 3, 3),
    )
    real = random_tensor(8, *shape, seed=2).detach(), torch.arange(8) % 3
    results = []
    for problem in (Problem(network, SGD(0.9), loss), FastProblem(network, SGD(0.9), loss)):
        task = Task(problem.start(weights), *real, stream("t"))
        results.append(meta_gradient(problem, data, engine, task))
    torch.testing.assert_close(results[0], results[1], rtol=1e-9, atol=1e-12)


class PictureNetwork(nn.Module):
    """A network that convolves a learned picture, beside its items."""

    def __init__(self) -> None:
        super().__init__()
        self.picture = nn.Parameter(random_tensor(1, 1, 6, 6, seed=5).detach())
        self.convolution = nn.Conv2d(1, 3, 3).double()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.convolution(x) * self.convolution(self.picture)).mean((2, 3))


def test_learned_images_inside_a_network_keep_their_inner_gradient() -> None:
    network, step = (
        PictureNetwork(),
        Step(random_tensor(3, 1, 6, 6), torch.eye(3).double(), torch.tensor(0.1).double()),
    )
    states = []
    for problem in (Problem(network), FastProblem(network)):
        states.append(problem.advance(problem.start(dict(network.named_parameters())), step))
    torch.testing.assert_close(*states)


def test_training_without_a_graph_equals_torchs_to_the_bit() -> None:
    network = build_network("lenet", (1, 16, 16), 3)
    step = Step(torch.randn(3, 1, 16, 16), torch.eye(3), torch.tensor(0.1))
    states = []
    for problem in (Problem(network), FastProblem(network)):
        with torch.no_grad():
            states.append(problem.advance(problem.start(draw_weights(network, stream("w"))), step))
    assert all(torch.equal(a, b) for a, b in zip(*states, strict=True))
