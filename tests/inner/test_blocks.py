"""Blocks that are computed again: the gradients of the plain network, in less memory."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from distill.errors import NetworkError
from distill.inner.engines.base import Engine
from distill.inner.engines.recompute import Recompute
from distill.inner.engines.unroll import Unroll
from distill.inner.kernels import FastProblem
from distill.inner.memory import blocks
from distill.inner.memory.blocks import CheckpointedSequential, check_blocks, checkpoint_blocks
from distill.inner.problem import Problem
from distill.inner.rules import SGD
from distill.inner.step import Step
from distill.networks.build import build_network
from distill.networks.initial import draw_weights
from distill.randomness import stream
from tests.helpers import waves

ARGUMENTS = {
    "convnet": {"width": 4}, "lenet": {}, "resnet": {"width": 8}, "resnet18-group": {"width": 4},
}  # fmt: skip
SHAPE, CLASSES = (1, 16, 16), 3


def problem_of(name: str, kind: type[Problem] = Problem) -> Problem:
    """A problem in float64 of a network by name."""
    return kind(build_network(name, SHAPE, CLASSES, **ARGUMENTS[name]).double(), SGD(0.9))


def checkpointed(problem: Problem) -> Problem:
    """The same problem, with blocks that are computed again."""
    return replace(problem, network=checkpoint_blocks(problem.network))


def outer_gradient(problem: Problem, engine: Engine) -> list[Tensor]:
    """The outer loss through two steps, and its gradient for items, labels and rates."""
    state = problem.start(draw_weights(problem.network.double(), stream("blocks"), "kaiming"))
    items = torch.randn(5, *SHAPE, generator=stream("items"), dtype=torch.float64)
    lr = torch.tensor(0.01, dtype=torch.float64)
    steps = [Step(items, waves(5, CLASSES), lr), Step(items.flip(0), waves(5, CLASSES, phase=1), lr)]
    x = torch.randn(7, *SHAPE, generator=stream("real"), dtype=torch.float64)
    value, gradients = engine.gradient(
        problem.advance, state, steps, lambda s: problem.loss(s, x, torch.arange(7) % CLASSES)
    )
    return [value, *(t for step in gradients for t in step)]


@pytest.mark.parametrize("size", [3, 32])
@pytest.mark.parametrize("name", ARGUMENTS)
def test_the_gradient_through_steps_is_that_of_the_plain_network(
    name: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blocks, "SLICE", size)
    plain = problem_of(name)
    expected, gradients = (outer_gradient(p, Unroll()) for p in (plain, checkpointed(plain)))
    for a, b in zip(gradients, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)
    assert expected[1].any()


def test_kernels_and_recomputed_steps_go_with_it() -> None:
    plain = problem_of("convnet", FastProblem)
    expected, gradients = outer_gradient(plain, Unroll()), outer_gradient(checkpointed(plain), Recompute())
    for a, b in zip(gradients, expected, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def test_no_activation_is_kept_between_the_inputs_of_blocks() -> None:
    def kept(network: nn.Module) -> int:
        sizes: dict[int, int] = {}

        def pack(tensor: Tensor) -> Tensor:
            sizes[tensor.data_ptr()] = tensor.numel()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            network(torch.zeros(4, *SHAPE)).sum()
        return sum(sizes.values())

    network = build_network("convnet", SHAPE, CLASSES, width=16)
    weights = sum(p.numel() for p in network.parameters())
    inputs = 4 * (16 * 16 + 16 * (8 * 8 + 4 * 4) + 16 * 2 * 2)  # of three blocks and the last matrix
    assert kept(checkpoint_blocks(network)) <= weights + inputs
    assert kept(network) > 4 * (weights + inputs)


def test_without_gradients_and_in_names_nothing_changes() -> None:
    network = build_network("convnet", SHAPE, CLASSES, width=4)
    copy, x = checkpoint_blocks(network), torch.randn(3, *SHAPE, generator=stream("x"))
    assert [n for n, _ in copy.named_parameters()] == [n for n, _ in network.named_parameters()]
    with torch.no_grad():
        assert torch.equal(copy(x), network(x))
    assert not any(isinstance(module, CheckpointedSequential) for module in network.modules())


def test_autocast_holds_where_a_block_is_computed_again() -> None:
    network = build_network("convnet", SHAPE, CLASSES, width=4)
    copy, x, gradients = checkpoint_blocks(network), torch.randn(3, *SHAPE, generator=stream("x")), []
    for each in (network, copy):
        with torch.autocast("cpu", torch.bfloat16):
            value = each(x).float().square().sum()
        gradients.append(torch.autograd.grad(value, [*each.parameters()]))
    for a, b in zip(*gradients, strict=True):
        torch.testing.assert_close(a, b)


def test_batch_norm_is_refused() -> None:
    with pytest.raises(NetworkError, match="with batch norm"):
        checkpoint_blocks(build_network("convnet-batch", SHAPE, CLASSES, width=4))


def test_a_network_without_blocks_is_named_where_the_option_is_given_for_it() -> None:
    network = build_network("mlp", SHAPE, CLASSES, width=4)
    with pytest.raises(NetworkError, match="--checkpoint-blocks has no effect on this network"):
        check_blocks(network)
    assert not any(
        isinstance(module, CheckpointedSequential) for module in checkpoint_blocks(network).modules()
    )
