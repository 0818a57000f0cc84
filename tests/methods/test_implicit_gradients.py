"""RCIG: implicit gradients against finite differences, unrolled training and numpy; what is refused."""

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from distill.commands.image import main as image
from distill.errors import NetworkError
from distill.inner.losses import squared_error
from distill.inner.problem import Problem, State, Task
from distill.inner.rules import SGD
from distill.methods.implicit_gradients import (
    RCIG,
    InnerProblem,
    LinearNetwork,
    answer,
    conjugate_gradients,
    replace_relus,
)
from distill.methods.kernel_ridge import regress
from distill.methods.pool import Family
from distill.networks import IMAGES, SEQUENCES
from distill.networks.build import build_network
from distill.networks.initial import draw_weights
from distill.outer.loop import OuterOptimizer, OuterState, descend, initial_state
from distill.outer.starts import start_lrs
from distill.outer.synthetic import Synthetic, cyclic_schedule
from distill.randomness import stream
from distill.sets.distilled import DistilledSet
from tests.contracts import UNROLLED_NETWORKS, build_small, choose_small_shape
from tests.helpers import CLASSES, SHAPE, small_problem, small_weights, waves, write_npz


def draw_state(i: int) -> State:
    problem = small_problem(SGD(0.9))
    return problem.start(small_weights(problem, i))


FAMILY = Family(replace(small_problem(SGD(0.9)), inner_loss=squared_error), draw_state, 0.01)
EXACT = RCIG(
    pool_size=3, max_age=4, pool_steps=2, families=(FAMILY,), ridge=0.1, solver_steps=200, tolerance=1e-13
)
OUTER = OuterOptimizer(
    lr={"items": 0.03, "labels": 0.01, "lrs": 0.0, "log_temperature": 0.03}, clip_norm=math.inf, beta1=0.9,
    average_decay=0.9, warmup=1,
)  # fmt: skip


def make_synthetic(n: int = CLASSES) -> Synthetic:
    labels = (torch.eye(CLASSES, dtype=torch.float64) - 1 / CLASSES).repeat(2, 1)[:n]
    lrs, schedule = start_lrs(0.01, 4, None).double(), cyclic_schedule(n, n, 4)
    extra = {"log_temperature": torch.tensor(1.0).double()}
    return Synthetic(waves(n, *SHAPE), labels, lrs, schedule, "soft", 10.0, extra)


def draw_tasks(step: int) -> list[Task]:
    """Real items that differ from visit to visit."""
    x = waves(6, *SHAPE, phase=10 * step)
    return [Task((), x, torch.tensor([0, 1, 2, 0, 1, 2]), stream("visit", step))]


def make_inner(method: RCIG = EXACT) -> InnerProblem:
    data = make_synthetic()
    return InnerProblem(LinearNetwork(small_problem(), draw_state(0)), data.items, data.labels, method)


def jacobian(x: Tensor, state: State) -> Tensor:
    """J(x) (b · classes, weights) by torch.func."""
    problem = small_problem()
    rows = torch.func.jacrev(lambda weights: problem.logits(weights, x))(state[: len(problem.names)])
    return torch.cat([row.reshape(len(x) * CLASSES, -1) for row in rows], dim=1)


@pytest.mark.parametrize("flips", [False, True])
@pytest.mark.parametrize("name", ["items", "labels", "log_temperature"])
def test_every_gradient_agrees_with_finite_differences_through_a_converged_solution(
    name: str, flips: bool
) -> None:
    data, method = make_synthetic(), replace(EXACT, flips=flips)
    objective = method.objective(small_problem(), draw_tasks)
    tensor = data.tensors()[name]
    direction = torch.cos(torch.arange(tensor.numel()).double()).reshape(tensor.shape)
    above, below = (
        objective(data.replace_tensors({name: tensor + sign * 1e-5 * direction}), 0).loss for sign in (1, -1)
    )
    slope = (objective(data, 0).gradients[name] * direction).sum()
    assert abs(float(slope)) > 1e-4
    torch.testing.assert_close(slope, (above - below) / 2e-5, rtol=1e-5, atol=1e-9)


def test_the_gradient_is_that_of_a_long_unrolled_training_of_the_linear_network() -> None:
    """Gradient descent on the inner problem, by the whole Jacobian, differentiated through every step."""
    method = replace(EXACT, ridge=0.5)
    data, task, state = make_synthetic(), draw_tasks(0)[0], draw_state(0)
    items, labels = (t.clone().requires_grad_() for t in (data.items, data.labels))
    jacobian_of_items, real, problem = jacobian(items, state), jacobian(task.x, state), small_problem()
    features = problem.features(state, items)
    penalty = method.ridge * (features**2).sum() / len(items)
    weights = torch.zeros(real.shape[1], dtype=torch.float64)
    rate = 1 / (torch.linalg.matrix_norm(jacobian_of_items.detach(), 2) ** 2 + penalty.detach())
    for _ in range(800):
        residual = jacobian_of_items @ weights - labels.flatten()
        weights = weights - rate * (jacobian_of_items.T @ residual + penalty * weights)
    loss = F.cross_entropy(math.e * (real @ weights).view(-1, CLASSES), task.y)
    unrolled = torch.autograd.grad(loss, (items, labels))
    result = method.objective(problem, draw_tasks)(data, 0)
    torch.testing.assert_close(result.loss, loss.detach(), rtol=1e-8, atol=0)
    for name, expected in zip(("items", "labels"), unrolled, strict=True):
        torch.testing.assert_close(result.gradients[name], expected, rtol=1e-6, atol=1e-10)


def test_the_solution_is_that_of_the_whole_kernel() -> None:
    """α of (J Jᵀ + λ I) α = L by numpy, and no residual is left."""
    inner, state = make_inner(), draw_state(0)
    rows = jacobian(inner.constant_items, state).numpy()
    features = small_problem().features(state, inner.constant_items)
    penalty = EXACT.ridge * float((features**2).sum()) / len(features)
    expected = np.linalg.solve(rows @ rows.T + penalty * np.eye(len(rows)), inner.labels.flatten().numpy())
    alpha = inner.solve(inner.labels)
    np.testing.assert_allclose(alpha.flatten().numpy(), expected, rtol=1e-9)
    torch.testing.assert_close(inner.multiply(alpha), inner.labels, rtol=1e-10, atol=1e-12)


def test_the_solution_has_no_slope_of_the_inner_loss() -> None:
    inner = make_inner()
    solution = inner.pull(inner.solve(inner.labels))
    residual = inner.push(inner.constant_items, solution).detach() - inner.labels
    for slope, v in zip(inner.pull(residual), solution, strict=True):
        torch.testing.assert_close(slope, -inner.penalty.detach() * v, rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize("tolerance", [0.3, 1e-2, 1e-10])
def test_conjugate_gradients_end_at_the_tolerance_and_at_n_steps_at_the_latest(tolerance: float) -> None:
    a = waves(9, 9)
    matrix, target = a @ a.T + 0.1 * torch.eye(9, dtype=torch.float64), waves(9, 1, phase=3)
    products: list[Tensor] = []

    def multiply(x: Tensor) -> Tensor:
        products.append(x)
        return matrix @ x

    x = conjugate_gradients(multiply, target, lambda r: r / 2, 20, tolerance)
    assert len(products) <= 10
    assert float((matrix @ x - target).norm() / target.norm()) <= 1.01 * tolerance
    fewer = conjugate_gradients(lambda x: matrix @ x, target, lambda r: r / 2, len(products) - 1, tolerance)
    assert float((matrix @ fewer - target).norm() / target.norm()) > tolerance


def test_a_perfect_preconditioner_needs_one_step_and_nothing_needs_none() -> None:
    matrix, target = torch.diag(torch.arange(1.0, 5.0).double()), waves(4, 1)
    x = conjugate_gradients(lambda x: matrix @ x, target, lambda r: r / matrix.diagonal()[:, None], 1, 0.1)
    torch.testing.assert_close(x, target / matrix.diagonal()[:, None])
    assert not conjugate_gradients(lambda x: 1 / torch.zeros_like(x), 0 * target, lambda r: r, 5, 0.1).any()


def test_the_last_layer_alone_in_one_step_is_the_regression_of_frepo() -> None:
    """Where the body is frozen and the last layer has no bias, the kernel is that of the features."""
    network = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, CLASSES, bias=False)).double()
    network[0].requires_grad_(False)
    problem, labels = Problem(network), waves(4, CLASSES, phase=2)
    state = problem.start({k: w.detach() for k, w in network.named_parameters()})
    items, real = waves(4, 6), waves(7, 6, phase=1)
    method = RCIG(ridge=1e-3, solver_steps=1)
    inner = InnerProblem(LinearNetwork(problem, state), items, labels, method)
    y = torch.arange(7) % CLASSES
    answers, _ = answer(inner.network, real, y, inner.pull(inner.solve(labels)), 1.0)
    features = (problem.features(state, x) for x in (items, real))
    torch.testing.assert_close(answers, regress(next(features), labels, next(features), 1e-3))


def test_a_relu_that_is_called_twice_is_replaced_in_both_places() -> None:
    relu = nn.ReLU()
    network = replace_relus(nn.Sequential(nn.Linear(4, 4), relu, nn.Linear(4, 4), relu), 60.0)
    assert [type(layer) for layer in network][1::2] == [nn.Softplus, nn.Softplus]


@pytest.mark.parametrize("name", [*UNROLLED_NETWORKS, *SEQUENCES])
def test_push_and_pull_are_transposes_and_both_ways_of_pushing_agree(name: str) -> None:
    """⟨c, J v⟩ = ⟨Jᵀ c, v⟩ for every network, by forward differentiation and by two backward passes."""
    shape = choose_small_shape(name) if name in IMAGES else (7, 6)
    network = build_small(name, shape, 5).double()
    problem = Problem(replace_relus(network, 60.0))
    linear = LinearNetwork(problem, problem.start(draw_weights(network, stream("w"))))
    x, c = waves(3, *shape).requires_grad_(), waves(3, 5, phase=4)
    direction = tuple(waves(*w.shape, phase=i) for i, w in enumerate(linear.weights))
    logits, change = linear.push(x, direction)
    torch.testing.assert_close(logits, problem.logits(linear.weights, x))
    backwards = linear.push_backwards(x, direction)[1]
    torch.testing.assert_close(change, backwards, rtol=1e-7, atol=1e-10)
    slope, by_backwards = (
        torch.autograd.grad((c * y).sum(), x, retain_graph=True) for y in (change, backwards)
    )
    torch.testing.assert_close(slope, by_backwards, rtol=1e-6, atol=1e-9)
    pulled = sum((a * b).sum() for a, b in zip(linear.pull(logits, c), direction, strict=True))
    torch.testing.assert_close(pulled, (c * change).sum(), rtol=1e-8, atol=1e-10)
    small = tuple(w + 1e-6 * v for w, v in zip(linear.weights, direction, strict=True))
    slope = (problem.logits(small, x) - logits) / 1e-6
    torch.testing.assert_close(change, slope, rtol=1e-2, atol=1e-3 * float(change.detach().abs().max()))


def test_an_operation_without_forward_derivatives_is_differentiated_backwards() -> None:
    class Backwards(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.save_for_backward(x)
            return x.sin()

        @staticmethod
        def backward(ctx: Any, g: Tensor) -> Tensor:
            return g * ctx.saved_tensors[0].cos()

    class Wave(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return Backwards.apply(x)

    def push(activation: nn.Module) -> Tensor:
        problem = Problem(nn.Sequential(nn.Linear(4, 3), activation, nn.Linear(3, 2)).double())
        weights = tuple(waves(*p.shape) for p in problem.network.parameters())
        return LinearNetwork(problem, weights).push(waves(5, 4), tuple(w.cos() for w in weights))[1]

    class Sine(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.sin()

    torch.testing.assert_close(push(Wave()), push(Sine()))


def test_a_softplus_stands_for_each_relu_of_a_copy() -> None:
    network = build_network("convnet-doubling", (1, 8, 8), 3, width=4)
    smooth = replace_relus(network, 60.0)
    kinds = [type(m) for m in smooth.modules()]
    assert kinds.count(nn.Softplus) == sum(type(m) is nn.ReLU for m in network.modules()) == 3
    assert nn.ReLU not in kinds
    assert [k for k, _ in smooth.named_parameters()] == [k for k, _ in network.named_parameters()]
    x = waves(4, 1, 8, 8).float()
    smooth.load_state_dict(network.state_dict())
    torch.testing.assert_close(smooth(x), network(x), rtol=0.1, atol=0.05)


def test_a_gradient_costs_at_most_half_more_than_the_arithmetic_it_needs() -> None:
    """In forward passes of an item: a product with J takes two, one with its transpose two, and their own
    gradients for the items three; a real item needs its logits and one product of each kind.
    """
    network = build_network("convnet-doubling", (3, 8, 8), CLASSES, depth=2, width=8)
    problem, y = Problem(network), torch.arange(8) % CLASSES
    linear = LinearNetwork(problem, problem.start(draw_weights(network, stream("w"))))
    items, real, labels = waves(4, 3, 8, 8).float(), waves(8, 3, 8, 8).float(), waves(4, CLASSES).float()
    method, variables = RCIG(solver_steps=3, tolerance=1e-30), items.requires_grad_().clone()

    def differentiate() -> None:
        _, surrogate = InnerProblem(linear, variables, labels, method).outer_loss(linear, real, y, 1.0)
        torch.autograd.grad(surrogate, variables)

    differentiate()  # the first time, both ways to differentiate are compared
    forward = count_flops(lambda: linear.logits(items.detach())) / len(items)
    per_item = 1 + 2 * 3 * (2 + 2) + (2 + 2 + 2) + 2 * (2 + 3)
    assert count_flops(differentiate) <= 1.5 * forward * (5 * len(real) + per_item * len(items))


def count_flops(function: Callable[[], Any]) -> int:
    with FlopCounterMode(display=False) as counter:
        function()
    return counter.get_total_flops()


def run_steps(
    count: int, start: OuterState | None = None, method: RCIG = EXACT, tasks: Any = draw_tasks
) -> list[OuterState]:
    data = make_synthetic()
    state = start or initial_state(data, OUTER, method.start_memory())
    objective = method.objective(small_problem(), tasks)
    return list(islice(descend(data, objective, OUTER, state, lambda step: step / 40), count))


def test_descending_lowers_the_loss() -> None:
    method = RCIG(pool_size=2, pool_steps=2, families=(FAMILY,))
    losses = [s.loss for s in run_steps(30, method=method, tasks=lambda step: draw_tasks(0))]
    assert sum(losses[-4:]) < 0.8 * sum(losses[:4])


@pytest.mark.parametrize("stop", [1, 5])
def test_a_resumed_loop_is_bit_identical(stop: int) -> None:
    whole, resumed = run_steps(8), run_steps(8 - stop, start=run_steps(stop)[-1])
    for name, tensor in whole[-1].tensors.items():
        assert torch.equal(tensor, resumed[-1].tensors[name])
    for name, tensor in whole[-1].method_memory.items():
        assert torch.equal(tensor, resumed[-1].method_memory[name])


def test_the_first_losses_are_what_they_were() -> None:
    assert [state.loss for state in run_steps(4)] == pytest.approx(GOLDEN, rel=1e-6)


GOLDEN = [1.0968515064, 1.1096183318, 1.0894791990, 1.1074205660]


def test_a_network_whose_last_layer_sees_a_part_is_refused() -> None:
    network = nn.Sequential(nn.Flatten(), nn.Tanh()).double()
    with pytest.raises(NetworkError, match=r"the network calls no nn.Linear"):
        InnerProblem(LinearNetwork(Problem(network), ()), waves(3, *SHAPE), waves(3, 64), EXACT)


# As a user runs it

SMALL = "--network convnet --depth 2 --width 8 --init random --method rcig --n 3 --pool-size 4"
SMALL += (
    " --outer-batch 32 --held-out 50 --test-networks 2 --full-data-networks 0 --dc-networks 0 --start means"
)


def run_image(folder: Path, *options: object) -> int:
    return image([*SMALL.split(), "--dataset", str(folder / "blobs.npz"), *map(str, options)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("implicit")
    write_npz(root / "blobs.npz", train=300, test=60)
    return root


def test_a_run_from_noise_teaches_what_noise_does_not(folder: Path) -> None:
    accuracies = []
    for steps, lr in ((1, 1e-9), (30, 0.1)):
        options = ["--start", "noise", "--outer-steps", steps, "--outer-lr", lr, "--validate-every", 100]
        options += ["--test-networks", 6]
        assert run_image(folder, *options, "--out", folder / f"run{steps}") == 0
        data = DistilledSet.load(folder / f"run{steps}" / "set.pt")
        assert data.inner["loss"] == "squared-error"
        accuracies.append(data.scores["accuracy"]["mean"])
    assert accuracies[1] > accuracies[0] + 0.2  # 76 and 39 %


def test_a_resumed_run_is_bit_identical(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = ["--inner-steps", 3, "--outer-steps", 6, "--validate-every", 3, "--augment", "shift-flip"]
    assert run_image(folder, *steps, "--out", folder / "whole") == 0
    from distill.runs.files import log

    original = log.Log.add

    def stop(self: Any, record: dict[str, Any]) -> None:
        if record["step"] == 5:
            raise KeyboardInterrupt
        original(self, record)

    with monkeypatch.context() as patch:
        patch.setattr(log.Log, "add", stop)
        assert run_image(folder, *steps, "--out", folder / "stopped") == 2
    assert image(["--resume", str(folder / "stopped")]) == 0
    whole, resumed = (DistilledSet.load(folder / name / "set.pt") for name in ("whole", "stopped"))
    for name in ("items", "labels", "lrs"):
        assert torch.equal(getattr(whole, name), getattr(resumed, name))
    assert whole.scores == resumed.scores


REFUSALS = {
    "--solver-steps must be above 0, not 0": ["--solver-steps", "0"],
    "--tolerance must be at most 1, not 2": ["--tolerance", "2"],
    "--ridge must be above 0, not 0": ["--ridge", "0"],
    "--softplus must be above 0, not -1": ["--softplus", "-1"],
    "--labels softmax: --method rcig regresses on signed labels": ["--labels", "softmax"],
    "--updates is an option of --method frepo and dc; this run has --method rcig": ["--updates", "3"],
    'the network "convnet-batch" has batch norm': ["--networks", "convnet-batch"],
}


@pytest.mark.parametrize("message", REFUSALS)
def test_what_it_cannot_do_is_refused_before_anything_is_trained(
    message: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_image(folder, "--outer-steps", 2, "--out", tmp_path / "run", *REFUSALS[message]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_networks_of_one_name_are_each_tried_for_forward_differentiation() -> None:
    def build(change: Callable[[Tensor], Tensor]) -> LinearNetwork:
        class Own(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.output = nn.Linear(4, 3)

            def forward(self, x: Tensor) -> Tensor:
                return change(self.output(x))

        network = Own().double()
        problem = Problem(network)
        return LinearNetwork(problem, problem.start(draw_weights(network, stream("w"))))

    x = waves(5, 4).requires_grad_()
    for change in (torch.tanh, partial(torch.softmax, dim=1), torch.tanh):
        linear = build(change)
        direction = tuple(w.detach().cos() for w in linear.weights)
        slope, other = (
            torch.autograd.grad(push(x, direction)[1].square().sum(), x)[0]
            for push in (linear.push, linear.push_backwards)
        )
        torch.testing.assert_close(slope, other)
