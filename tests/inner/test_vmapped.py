"""Many networks at once: the mean of their gradients, for every rule, engine and image network."""

import pytest
import torch

from distill.inner.engines.base import Engine
from distill.inner.engines.recompute import Recompute
from distill.inner.engines.truncated import Truncated
from distill.inner.engines.unroll import Unroll
from distill.inner.problem import Problem, Task
from distill.inner.rules import SGD, Adam, Rule
from distill.inner.vmapped import VmappedProblem
from distill.methods.unroll import bilevel
from distill.networks.initial import draw_weights
from distill.outer.starts import start_lrs
from distill.outer.synthetic import Synthetic, cyclic_schedule
from distill.randomness import stream
from tests.contracts import UNROLLED_NETWORKS, build_small
from tests.helpers import CLASSES, Small, waves


def check_mean_gradient(
    problem: Problem, engine: Engine, shape: tuple[int, ...], chunk: int | None = None
) -> None:
    """The gradient of three networks at once is the mean of three gradients."""
    items, labels = waves(2, *shape), waves(2, CLASSES)
    raw_lrs = start_lrs(0.1, 3, len(problem.names)).double()
    data = Synthetic(items, labels, raw_lrs, cyclic_schedule(2, 2, 3))
    tasks = [make_task(problem, shape, k) for k in range(3)]
    vmapped = VmappedProblem(problem.network, problem.rule, chunk=chunk)
    single = bilevel(problem, engine, lambda _: tasks)(data, 0)
    joint = bilevel(vmapped, engine, lambda _: [vmapped.stack_tasks(tasks)])(data, 0)
    torch.testing.assert_close(joint.loss, single.loss)
    assert joint.uniform_loss == pytest.approx(single.uniform_loss)
    for name, gradient in single.gradients.items():
        assert gradient.any()
        torch.testing.assert_close(joint.gradients[name], gradient)


def make_task(problem: Problem, shape: tuple[int, ...], k: int) -> Task:
    """The task of the k-th network, with its own weights and real items."""
    weights = draw_weights(problem.network, stream("vmapped", k))
    state = problem.start({name: w.double() for name, w in weights.items()})
    return Task(state, waves(6, *shape, phase=50 + k), torch.tensor([0, 1, 2, 0, 1, 2]), stream("t"))


@pytest.mark.parametrize("rule", [SGD(), SGD(0.9), Adam()], ids=repr)
@pytest.mark.parametrize("engine", [Unroll(), Recompute(), Truncated(2)], ids=repr)
def test_vmapped_networks_give_the_mean_gradient(engine: Engine, rule: Rule) -> None:
    check_mean_gradient(Problem(Small().double(), rule), engine, (1, 8, 8))


def test_vmapped_networks_in_chunks_give_the_same_gradient() -> None:
    check_mean_gradient(Problem(Small().double()), Unroll(), (1, 8, 8), chunk=2)


@pytest.mark.parametrize("name", UNROLLED_NETWORKS)
def test_every_image_network_can_be_vmapped(name: str) -> None:
    shape = (3, 32, 32) if name in ("lenet", "alexcifarnet", "vgg11", "resnet18") else (3, 16, 16)
    network = build_small(name, shape, CLASSES)
    check_mean_gradient(Problem(network.double()), Unroll(), shape)
