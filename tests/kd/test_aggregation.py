"""The search of a teacher's layers: the bridge loss, its two paths, and its gradients."""

import pytest
import torch
from torch import Tensor, nn

from distill.inner.losses import cross_entropy_with_any_labels
from distill.kd.taps import forward_with_taps
from distill.kd.techniques.aggregation import AggregationSearch, Group, aggregate_layers
from distill.networks.build import build_network
from distill.networks.initial import draw_weights
from distill.randomness import stream
from distill.student.loop import Batch
from tests.helpers import waves

Y = torch.tensor([0, 2, 1, 1])
TRAIN = Batch(waves(4, 1, 8, 8), Y, torch.arange(4), 0.0)
HELD_OUT = Batch(waves(4, 1, 8, 8, phase=3.0), Y.flip(0), torch.arange(4), 0.0)
# the blocks of a ResNet of 14 layers by their stage, of 8×8, 4×4 and 2×2
TAPS = {"0.3": ("0.3", "0.4"), "0.4": ("0.5", "0.6"), "0.5": ("0.7", "0.8")}
SIZES = {"0.3": (2, 4), "0.4": (4, 8), "0.5": (8, 16)}  # channels of the student's layer and the teacher's


def build(depth: int, width: int) -> nn.Module:
    network = build_network("cifar-resnet", (1, 8, 8), 3, depth=depth, width=width).double()
    network.load_state_dict(draw_weights(network, stream("search", depth), "uniform"))
    return network.requires_grad_(width == 2)


def build_group(tap: str) -> Group:
    a, b = SIZES[tap]
    connectors = [nn.Conv2d(a, b, 1).double(), nn.Conv2d(b, a, 1).double()]
    for connector in connectors:
        connector.load_state_dict(draw_weights(connector, stream("connector", tap, b), "uniform"))
    alpha = torch.tensor([0.3, -0.4], dtype=torch.float64, requires_grad=True)
    return Group(tap, TAPS[tap], alpha, *connectors)


def build_search(**options: float) -> AggregationSearch:
    groups = [build_group(tap) for tap in TAPS]
    return AggregationSearch(build(8, 2), build(14, 4), groups, lambda _: HELD_OUT, **options)


def differentiate(loss: object, leaf: Tensor, step: float = 1e-6) -> Tensor:
    """The derivative of a loss by central differences, for the first two numbers of a leaf."""
    flat, result = leaf.detach().view(-1), torch.zeros_like(leaf).view(-1)
    for k in range(2):
        values = []
        for sign in (1, -1):
            flat[k] += sign * step
            values.append(float(loss(TRAIN).detach()))  # type: ignore[operator]
            flat[k] -= sign * step
        result[k] = (values[0] - values[1]) / (2 * step)
    return result


@pytest.mark.parametrize(
    "options",
    [{}, {"ts": 0.0, "regulariser": 0.0}, {"st": 0.0, "regulariser": 0.0}, {"ts": 0.0, "st": 0.0}],
    ids=["both paths", "student to teacher", "teacher to student", "the regulariser"],
)
def test_the_gradient_of_alpha_is_that_of_finite_differences(options: dict[str, float]) -> None:
    search = build_search(**options)
    alphas = [group.alpha for group in search.groups]
    gradients = torch.autograd.grad(search.alpha_loss()(TRAIN), alphas)
    for alpha, gradient in zip(alphas, gradients, strict=True):
        assert gradient.abs().max() > 1e-6  # each path alone moves the α of every group
        torch.testing.assert_close(gradient, differentiate(search.alpha_loss(), alpha), rtol=1e-5, atol=1e-9)


def test_the_student_and_both_connectors_learn_from_both_paths() -> None:
    search = build_search()
    modules = [search.student, *(m for g in search.groups for m in (g.to_teacher, g.to_student))]
    leaves = [p for module in modules for p in module.parameters() if p.ndim == 4]
    gradients = torch.autograd.grad(search.student_loss()(TRAIN), leaves)
    for leaf, gradient in zip(leaves, gradients, strict=True):
        assert gradient.any()
        expected = differentiate(search.student_loss(), leaf)
        torch.testing.assert_close(gradient.reshape(-1)[:2], expected[:2], rtol=1e-4, atol=1e-8)


def test_neither_player_moves_what_is_the_other_s() -> None:
    search = build_search()
    assert all(
        gradient is None
        for gradient in torch.autograd.grad(
            search.student_loss()(TRAIN), [g.alpha for g in search.groups], allow_unused=True
        )
    )
    assert not any(p.requires_grad for p in search.teacher.parameters())


def test_the_bridge_is_the_sum_of_both_paths_over_the_groups() -> None:
    search = build_search(ts=0.7, st=0.2)
    _, teacher_taps = forward_with_taps(search.teacher, TRAIN.x, [x for t in TAPS.values() for x in t])
    logits, student_taps = forward_with_taps(search.student, TRAIN.x, TAPS)
    expected = cross_entropy_with_any_labels(logits, Y)
    for group in search.groups:
        aggregation = aggregate_layers([teacher_taps[layer] for layer in group.layers], group.alpha)
        crossed, _ = forward_with_taps(
            search.student, TRAIN.x, (), {group.tap: lambda _, a=aggregation, g=group: g.to_student(a)}
        )
        distance = nn.functional.mse_loss(group.to_teacher(student_taps[group.tap]), aggregation)
        expected = expected + 0.7 * cross_entropy_with_any_labels(crossed, Y) + 0.2 * distance
    torch.testing.assert_close(search.student_loss()(TRAIN), expected)


def test_each_path_pulls_alpha_towards_the_layer_that_serves_it() -> None:
    """Student to teacher: towards the layer that the student is near; the paths are players of one α."""
    search = build_search(ts=0.0, regulariser=0.0)
    _, taps = forward_with_taps(search.teacher, HELD_OUT.x, ["0.3", "0.4"])

    class Like(nn.Module):
        def __init__(self, goal: Tensor) -> None:
            super().__init__()
            self.goal = goal

        def forward(self, _: Tensor) -> Tensor:
            return self.goal

    for k, layer in enumerate(("0.3", "0.4")):
        group = search.groups[0]
        near = Group(group.tap, group.layers, group.alpha, Like(taps[layer]), group.to_student)
        alone = AggregationSearch(
            search.student, search.teacher, [near], lambda _: HELD_OUT, ts=0.0, regulariser=0.0
        )
        (gradient,) = torch.autograd.grad(alone.alpha_loss()(TRAIN), [group.alpha])
        assert gradient[k] < 0 < gradient[1 - k]


def test_an_aggregation_is_the_softmax_weighted_sum_of_its_layers() -> None:
    layers = [waves(2, 3, 4, 4, phase=k) for k in range(3)]
    alpha = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)
    expected = torch.einsum("l,lbcij->bcij", alpha.softmax(0), torch.stack(layers))
    torch.testing.assert_close(aggregate_layers(layers, alpha), expected)
    last = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64).log()
    torch.testing.assert_close(aggregate_layers(layers, last), layers[-1])


def test_batch_norm_averages_the_student_s_own_features_in_its_own_turn_alone() -> None:
    networks = [
        build_network("cifar-resnet-batch", (1, 8, 8), 3, depth=8, width=2).double() for _ in range(2)
    ]
    networks[1].load_state_dict(networks[0].state_dict())
    search = build_search()
    search = AggregationSearch(networks[0].train(), search.teacher, search.groups, lambda _: HELD_OUT)
    search.alpha_loss()(TRAIN).backward()
    before = dict(networks[1].named_buffers())
    assert all(torch.equal(b, before[name]) for name, b in networks[0].named_buffers())
    search.student_loss()(TRAIN).backward()
    networks[1].train()(TRAIN.x)
    after = dict(networks[1].named_buffers())
    assert all(torch.equal(b, after[name]) for name, b in networks[0].named_buffers())
    assert not torch.equal(after["0.1.running_mean"], torch.zeros(2).double())
