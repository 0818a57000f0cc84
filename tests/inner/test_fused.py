"""A fused step equals autograd's: weights, derivatives, ties of the maximum; and what is not fused."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.autograd import gradcheck

from distill.inner.engines.base import Engine
from distill.inner.engines.recompute import Recompute
from distill.inner.engines.truncated import Truncated
from distill.inner.engines.unroll import Unroll
from distill.inner.fused.functions import DescentStep, InnerGradient
from distill.inner.fused.problem import FusedProblem
from distill.inner.losses import soft_cross_entropy, squared_error
from distill.inner.problem import Loss, Problem, Task
from distill.inner.rules import SGD, Adam, Rule
from distill.inner.step import Step
from distill.methods.unroll import meta_gradient
from distill.networks.build import build_network
from distill.networks.initial import draw_weights
from distill.outer.starts import start_labels, start_lrs
from distill.outer.synthetic import Synthetic, cyclic_schedule
from distill.randomness import stream

GREY = (1, 14, 13)


def small_network() -> nn.Module:
    """Two convolutions, one padded and with the ReLU before its pooling, for odd sizes."""
    return nn.Sequential(
        nn.Sequential(nn.Conv2d(1, 3, 3, padding=(1, 2)), nn.ReLU(), nn.MaxPool2d(2)),
        nn.Conv2d(3, 4, (2, 3)), nn.MaxPool2d(2), nn.ReLU(), nn.Identity(), nn.Flatten(),
        nn.Linear(24, 5), nn.ReLU(), nn.Linear(5, 3),
    )  # fmt: skip


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "small": (small_network, GREY),
    "lenet": (lambda: build_network("lenet", (1, 28, 28), 3), (1, 28, 28)),
    "lenet of colours": (lambda: build_network("lenet", (3, 32, 32), 3), (3, 32, 32)),
    "mlp": (lambda: build_network("mlp", (2, 3, 4), 3, width=8), (2, 3, 4)),
    "relu first": (lambda: nn.Sequential(nn.ReLU(), nn.Flatten(), nn.Linear(6, 3)), (2, 3)),
    "linear": (lambda: nn.Sequential(nn.Linear(6, 3)), (6,)),
}


def random_tensor(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=stream("fused", seed), dtype=torch.float64)


def build_case(name: str) -> tuple[nn.Module, Synthetic, Callable[[Problem], Task]]:
    """A network in double precision, a set of four items in two batches, and a task for a problem."""
    build, shape = NETWORKS[name]
    network = build().double()
    weights = {k: w.double() for k, w in draw_weights(network, stream("w"), "uniform").items()}
    lrs = start_lrs(0.05, 4, len(weights)).double()
    labels = start_labels(4, 3, "soft").double()
    synthetic = Synthetic(random_tensor(4, *shape), labels, lrs, cyclic_schedule(4, 2, 4))
    x, y = random_tensor(8, *shape, seed=2), torch.arange(8) % 3
    return network, synthetic, lambda problem: Task(problem.start(weights), x, y, stream("t"))


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("rule", [SGD(), SGD(0.9), SGD(0.9, 1e-2), Adam()], ids=repr)
@pytest.mark.parametrize("loss", [soft_cross_entropy, squared_error])
def test_the_outer_gradient_equals_autograds(name: str, rule: Rule, loss: Loss) -> None:
    network, synthetic, task = build_case(name)
    problems = Problem(network, rule, loss), FusedProblem(network, rule, loss)
    assert problems[1].program is not None
    results = [meta_gradient(problem, synthetic, Unroll(), task(problem)) for problem in problems]
    torch.testing.assert_close(results[0], results[1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("engine", [Recompute(), Recompute(every=2), Truncated(2)], ids=repr)
def test_the_engines_agree_on_it(engine: Engine) -> None:
    network, synthetic, task = build_case("small")
    problems = Problem(network), FusedProblem(network)
    results = [meta_gradient(problem, synthetic, engine, task(problem)) for problem in problems]
    torch.testing.assert_close(results[0], results[1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_a_step_has_the_derivatives_of_finite_differences(momentum: float) -> None:
    network, synthetic, task = build_case("small")
    problem = FusedProblem(network, SGD(momentum))
    state = [t.requires_grad_() for t in task(problem).state]
    x, y, lr = (t.detach().requires_grad_() for t in synthetic.steps()[0])

    def step(*inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return DescentStep.apply(problem.program, momentum, *inputs)

    assert gradcheck(step, (x, y, lr, *state), fast_mode=True)


def test_the_inner_gradient_has_the_derivatives_of_finite_differences() -> None:
    network, synthetic, task = build_case("small")
    problem = FusedProblem(network, Adam(), squared_error)
    weights = [t.requires_grad_() for t in task(problem).state[: len(problem.names)]]
    x, y, _ = (t.detach().requires_grad_() for t in synthetic.steps()[0])

    def gradient(*inputs: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return InnerGradient.apply(problem.program, *inputs)

    assert gradcheck(gradient, (x, y, *weights), fast_mode=True)


def test_of_equal_numbers_the_same_one_counts_as_in_torch() -> None:
    network, synthetic, task = build_case("small")
    blank = synthetic.with_items(torch.zeros_like(synthetic.items))
    checked = synthetic.with_items(synthetic.items.round().clamp(-1, 1))
    for data in (blank, checked):
        problems = Problem(network), FusedProblem(network)
        results = [meta_gradient(problem, data, Unroll(), task(problem)) for problem in problems]
        torch.testing.assert_close(results[0], results[1], rtol=1e-9, atol=1e-12)


def test_labels_and_rates_alone_have_a_gradient_where_items_are_fixed() -> None:
    network, synthetic, task = build_case("small")
    steps = [step._replace(x=step.x.detach()) for step in synthetic.steps()]
    problem = FusedProblem(network)
    state = [t.detach() for t in task(problem).state]
    y = steps[0].y.detach().requires_grad_()
    after = problem.advance(tuple(state), Step(steps[0].x, y, steps[0].lr))
    assert torch.autograd.grad(sum(t.sum() for t in after), y)[0].any()


def test_a_step_without_a_graph_is_the_same_step() -> None:
    network, synthetic, task = build_case("lenet")
    problem, step = FusedProblem(network), synthetic.steps()[0]
    with torch.no_grad():
        plain = problem.advance(task(problem).state, step)
    assert all(map(torch.equal, plain, problem.advance(task(problem).state, step)))
    assert not plain[0].requires_grad


def test_students_are_trained_by_torchs_kernels() -> None:
    problem = FusedProblem(build_network("lenet", (1, 28, 28), 3), SGD(0.5), squared_error)
    assert problem.of_torch == Problem(problem.network, SGD(0.5), squared_error)
    assert type(problem.of_torch) is Problem


def with_hook() -> nn.Module:
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
    network[1].register_forward_hook(lambda *_: None)
    return network


def frozen() -> nn.Module:
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.Linear(4, 3))
    network[1].weight.requires_grad_(False)
    return network


def shared() -> nn.Module:
    layer = nn.Linear(4, 4)
    return nn.Sequential(nn.Flatten(), layer, nn.ReLU(), layer, nn.Linear(4, 3))


def tied() -> nn.Module:
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.Linear(4, 3))
    network[3].weight = network[1].weight
    return network


class Doubled(nn.Sequential):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 2 * super().forward(x)


UNFUSED: dict[str, Callable[[], nn.Module]] = {
    "a hook": with_hook,
    "a frozen weight": frozen,
    "a shared layer": shared,
    "a tied weight": tied,
    "its own forward": lambda: Doubled(nn.Flatten(), nn.Linear(4, 3)),
    "another activation": lambda: nn.Sequential(nn.Flatten(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 3)),
    "no bias": lambda: nn.Sequential(nn.Flatten(), nn.Linear(4, 3, bias=False)),
    "no pooling": lambda: nn.Sequential(nn.Conv2d(1, 2, 2), nn.ReLU(), nn.Flatten(), nn.Linear(2, 3)),
    "a stride": lambda: nn.Sequential(
        nn.Conv2d(1, 2, 1, stride=2), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(2, 3)
    ),
    "pooling alone": lambda: nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(1, 3)),
    "pooling that counts the edge": lambda: nn.Sequential(
        nn.Conv2d(1, 2, 1), nn.MaxPool2d(2, ceil_mode=True), nn.Flatten(), nn.Linear(2, 3)
    ),
    "rows as images": lambda: nn.Sequential(nn.Linear(2, 2), nn.Flatten(), nn.Linear(4, 3)),
}


@pytest.mark.parametrize("what", UNFUSED)
def test_a_network_that_cannot_be_fused_is_trained_as_it_is(what: str) -> None:
    network = UNFUSED[what]().double()
    fused, plain = FusedProblem(network), Problem(network)
    assert fused.program is None
    weights = {k: w.detach() for k, w in network.named_parameters()}
    x = random_tensor(2, 1, 2, 2)
    if what == "a stride":
        x = random_tensor(2, 1, 4, 4)
    step = Step(x, random_tensor(2, 3, seed=1), torch.tensor(0.1).double())
    with torch.no_grad():
        after = [problem.advance(problem.start(weights), step) for problem in (fused, plain)]
    torch.testing.assert_close(*after)


def test_items_of_other_axes_are_left_to_autograd() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(4, 3)).double()
    fused, plain = FusedProblem(network), Problem(network)
    weights = {k: w.detach() for k, w in network.named_parameters()}
    step = Step(random_tensor(2, 4), random_tensor(2, 3, seed=1), torch.tensor(0.1).double())
    torch.testing.assert_close(*(p.advance(p.start(weights), step) for p in (fused, plain)))


@pytest.mark.parametrize(
    ("layers", "axes"),
    [
        ((nn.ReLU(), nn.Linear(4, 3)), {2}),
        ((nn.ReLU(), nn.Flatten(), nn.Linear(4, 3)), {3, 4}),
        ((nn.ReLU(), nn.Conv2d(1, 2, 1), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(2, 3)), {4}),
    ],
)
def test_a_program_takes_the_axes_of_its_first_layer_but_a_relu(
    layers: tuple[nn.Module, ...], axes: set[int]
) -> None:
    program = FusedProblem(nn.Sequential(*layers)).program
    assert program is not None
    assert {n for n in (2, 3, 4) if program.fits(torch.zeros([1] * n))} == axes
