"""SRe2L: the distance from running statistics is zero where they are met, and its gradient is exact."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import islice

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distill.errors import NetworkError, RunError, UserError
from distill.inner.problem import Problem, Task
from distill.methods.decoupled.recovery import (
    RecoveryObjective,
    SRe2L,
    build_teacher,
    crop_and_resize,
    total_variation,
)
from distill.networks.build import build_network
from distill.outer.loop import OuterOptimizer, descend, initial_state
from distill.outer.starts import start_labels, start_lrs
from distill.outer.synthetic import Synthetic, cyclic_schedule
from distill.randomness import stream
from tests.helpers import waves

SHAPE, CLASSES = (2, 6, 6), 3


def make_teacher(shape: Sequence[int] = SHAPE, classes: int = CLASSES) -> nn.Module:
    """Two layers with batch norm in float64, whose running statistics are no round numbers."""
    network = nn.Sequential(
        nn.BatchNorm2d(shape[0]), nn.Conv2d(shape[0], 4, 3, padding=1), nn.BatchNorm2d(4), nn.Softplus(),
        nn.Flatten(), nn.Linear(4 * shape[1] * shape[2], classes),
    ).double()  # fmt: skip
    with torch.no_grad():
        for k, tensor in enumerate(network.state_dict().values()):
            if tensor.is_floating_point():
                tensor.copy_(0.3 * waves(*tensor.shape, phase=k))
        for layer in (network[0], network[2]):
            layer.running_var.abs_().add_(0.5)
    return network.eval()


def meet_statistics(network: nn.Module, x: Tensor) -> None:
    """Give each batch norm, from the first on, the mean and variance of what comes into it for x."""
    for layer in (network[0], network[2]):
        inputs: list[Tensor] = []
        hook = layer.register_forward_pre_hook(lambda _, args, seen=inputs: seen.append(args[0]))
        with torch.no_grad():
            network(x)
        hook.remove()
        layer.running_mean.copy_(inputs[0].mean(dim=(0, 2, 3)))
        layer.running_var.copy_(inputs[0].var(dim=(0, 2, 3), correction=0))


def make_case(n: int = 6) -> tuple[Synthetic, Problem, Task]:
    """Items of three classes, and what an outer step hands a method."""
    problem = Problem(build_network("mlp", SHAPE, CLASSES, width=8).double())
    labels, lrs = start_labels(n, CLASSES, "soft").double(), start_lrs(0.1, 2, None).double()
    synthetic = Synthetic(waves(n, *SHAPE), labels, lrs, cyclic_schedule(n, n, 2))
    state = problem.start(dict(problem.network.named_parameters()))
    return synthetic, problem, Task(state, waves(4, *SHAPE), torch.tensor([0, 1, 2, 0]), stream("task"))


def objective_of(method: SRe2L) -> RecoveryObjective:
    _, problem, task = make_case()
    objective = method.objective(problem, lambda step: [task])
    assert isinstance(objective, RecoveryObjective)
    return objective


def test_the_distance_is_zero_for_a_batch_that_has_the_running_statistics() -> None:
    network, x = make_teacher(), waves(5, *SHAPE)
    assert build_teacher(network).measure(x)[1].min() > 0.1
    meet_statistics(network, x)
    logits, gaps = build_teacher(network).measure(x)
    assert gaps.max() < 1e-12
    torch.testing.assert_close(logits, network(x).detach())
    doubled = torch.cat([x, x.flip(0)])
    assert build_teacher(network).measure(doubled)[1].max() < 1e-12


def test_the_distance_is_that_of_the_paper() -> None:
    """|μ - E μ|₂ + |σ² - E σ²|₂ of the first layer, whose inputs are the items themselves."""
    network, x = make_teacher(), waves(5, *SHAPE)
    mean, variance = x.mean(dim=(0, 2, 3)), ((x - x.mean(dim=(0, 2, 3), keepdim=True)) ** 2).mean((0, 2, 3))
    expected = (mean - network[0].running_mean).norm() + (variance - network[0].running_var).norm()
    torch.testing.assert_close(build_teacher(network).measure(x)[1][0], expected)


def test_the_loss_is_the_sum_of_its_weighted_terms() -> None:
    network, x, classes = make_teacher(), waves(6, *SHAPE), torch.arange(6) % 3
    _, gaps = build_teacher(network).measure(x)
    weights = {"bn_weight": 0.5, "first_bn_weight": 3.0, "tv_weight": 0.2, "l2_weight": 0.1}
    value = objective_of(SRe2L(network=network, **weights)).loss(x, classes)
    expected = F.cross_entropy(network(x), classes) + 0.5 * (3 * gaps[0] + gaps[1])
    expected = expected + 0.2 * total_variation(x) + 0.1 * x.flatten(1).norm(dim=1).mean()
    torch.testing.assert_close(value, expected)


@pytest.mark.parametrize("area", [1.0, 0.3])
def test_the_gradient_agrees_with_finite_differences(area: float) -> None:
    method = SRe2L(network=make_teacher(), bn_weight=0.5, tv_weight=0.1, l2_weight=0.1, crop_area=area)
    objective = objective_of(method)

    def value(items: Tensor) -> Tensor:
        return objective.loss(objective.change(items, stream("crop")), torch.arange(6) % 3)

    assert torch.autograd.gradcheck(value, waves(6, *SHAPE).requires_grad_(), rtol=1e-4)


def test_batches_of_items_are_recovered_on_their_own() -> None:
    """The gradient of a batch is that of a set of this batch alone, by its share of the items."""
    synthetic, _, _ = make_case(6)
    method = SRe2L(network=make_teacher(), crop_area=1.0, recovery_batch=3)
    whole = objective_of(method)(synthetic, 0)
    halves = [
        objective_of(method)(replace(synthetic, items=part, labels=labels), 0)
        for part, labels in zip(synthetic.items.split(3), synthetic.labels.split(3), strict=True)
    ]
    torch.testing.assert_close(whole.loss, sum(half.loss for half in halves) / 2)
    gradients = torch.cat([half.gradients["items"] for half in halves]) / 2
    torch.testing.assert_close(whole.gradients["items"], gradients)


def test_a_crop_is_of_one_place_and_of_the_whole_where_it_must_be() -> None:
    x = waves(2, *SHAPE)
    assert crop_and_resize(x, 1.0, stream("c")) is x
    twins = crop_and_resize(x[:1].expand(3, -1, -1, -1), 0.1, stream("c"))
    assert torch.equal(twins[0], twins[2])
    constant = crop_and_resize(torch.full((1, *SHAPE), 2.5), 0.1, stream("c"))
    torch.testing.assert_close(constant, torch.full((1, *SHAPE), 2.5))
    ramp = torch.linspace(0, 1, 6).expand(1, 2, 6, 6)
    spreads = [float(crop_and_resize(ramp, 0.1, stream("c", k)).amax()) for k in range(20)]
    assert min(spreads) < 0.7
    assert max(spreads) <= 1


def test_recovery_lowers_its_objective_and_finds_the_classes() -> None:
    """The start's loss is that of guessing; the teacher knows the items' classes after 150 steps."""
    synthetic, problem, task = make_case(6)
    network = make_teacher()
    with torch.no_grad():  # waves that are alike for all classes tell none from another
        network[5].weight.copy_(torch.randn(network[5].weight.shape, generator=stream("last")))
    objective = SRe2L(network=network, bn_weight=1e-3, crop_area=1.0).objective(problem, lambda step: [task])
    outer = OuterOptimizer(lr={"items": 0.25, "labels": 0.1, "lrs": 0.1}, warmup=1, clip_norm=math.inf)
    states = descend(synthetic, objective, outer, initial_state(synthetic, outer), lambda _: 0.0)
    *_, last = reached = list(islice(states, 150))
    assert last.loss < 0.5 * reached[0].loss
    assert network(last.tensors["items"]).argmax(dim=1).tolist() == [0, 1, 2, 0, 1, 2]


def test_the_teacher_stays_as_it_is() -> None:
    synthetic, _, _ = make_case(6)
    network = make_teacher().train()
    before = {name: w.clone() for name, w in network.state_dict().items()}
    first, second = (objective_of(SRe2L(network=network))(synthetic, 3) for _ in range(2))
    assert torch.equal(first.gradients["items"], second.gradients["items"])
    assert all(torch.equal(w, before[name]) for name, w in network.state_dict().items())
    assert network.training
    assert all(p.requires_grad and p.grad is None for p in network.parameters())


def test_a_teacher_without_running_statistics_is_refused() -> None:
    for network in (nn.Sequential(nn.Linear(2, 2)), nn.BatchNorm2d(2, track_running_stats=False)):
        with pytest.raises(NetworkError, match="no batch norm, from whose running averages"):
            build_teacher(network)
    with pytest.raises(UserError, match="--teacher FILE is missing"):
        objective_of(SRe2L())


def test_a_memory_of_another_teacher_is_refused() -> None:
    synthetic, _, _ = make_case(6)
    method, other = SRe2L(network=make_teacher()), make_teacher()
    memory = method.start_memory()
    assert objective_of(method)(synthetic, 0, memory).memory == memory
    other[0].running_mean.add_(1e-3)
    with pytest.raises(RunError, match="holds other weights than when the run began"):
        objective_of(SRe2L(network=other))(synthetic, 0, memory)
