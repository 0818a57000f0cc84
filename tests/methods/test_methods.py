"""Methods: each passes the contract, those without an unroll equal their formulas and lower their loss."""

import math
from dataclasses import replace
from functools import partial
from itertools import islice

import pytest
import torch

from distill import distill
from distill.errors import NetworkError
from distill.inner.problem import Problem, Task
from distill.methods import METHODS
from distill.methods.base import Learnable, Method
from distill.methods.kernel_ridge import FRePo, regress
from distill.methods.matching.classes import MatchingMethod
from distill.methods.pool import Pool
from distill.methods.visits import PoolMethod, Visit
from distill.networks import IMAGES, SEQUENCES
from distill.networks.build import build_network
from distill.networks.initial import draw_weights
from distill.outer.loop import OuterOptimizer, descend, initial_state
from distill.outer.starts import start_labels, start_lrs
from distill.outer.synthetic import Synthetic, cyclic_schedule
from distill.randomness import stream
from distill.registry import load
from tests.contracts import UNROLLED_NETWORKS, build_small, choose_small_shape
from tests.data_oddities import easy_data
from tests.helpers import waves
from tests.methods.test_recovery import make_teacher
from tests.oddities import Experts

COMPARISONS = {w: m() for w, e in METHODS.items() if issubclass(m := load(e), PoolMethod)}
MATCHING = [word for word, method in COMPARISONS.items() if isinstance(method, MatchingMethod)]

NEEDS = {"sre2l": {"network": make_teacher((1, 2, 3), 3)}}  # what a method cannot do without


def make_small_case(n: int = 6, steps: int = 3) -> tuple[Problem, Synthetic, Task]:
    """An MLP on items of six pixels of three classes, in float64."""
    problem = Problem(build_network("mlp", (1, 2, 3), 3, width=32).double())
    weights = {k: w.double() for k, w in draw_weights(problem.network, stream("w")).items()}
    items, labels = waves(n, 1, 2, 3), start_labels(n, 3, "soft").double()
    synthetic = Synthetic(items, labels, start_lrs(0.1, steps, None).double(), cyclic_schedule(n, n, steps))
    x, y = waves(12, 1, 2, 3, phase=2), torch.arange(12) % 3
    return problem, synthetic, Task(problem.start(weights), x, y, stream("task"))


@pytest.mark.parametrize("name", [*UNROLLED_NETWORKS, *SEQUENCES])
def test_features_are_the_inputs_of_the_last_layer(name: str) -> None:
    shape = choose_small_shape(name) if name in IMAGES else (7, 6)
    network = build_small(name, shape, 5)
    problem = Problem(network)
    state = problem.start(draw_weights(network, stream("w")))
    x = waves(3, *shape).float()
    weights = list(problem.weights(state).items())
    (_, weight), (_, bias) = [(k, w) for k, w in weights if w.shape[0] == 5][-2:]
    features = problem.features(state, x)
    torch.testing.assert_close(torch.nn.functional.linear(features, weight, bias), problem.logits(state, x))


def compare(method: PoolMethod, problem: Problem, synthetic: Learnable, task: Task) -> torch.Tensor:
    """What a method lowers by the network of a task, as the pool's first."""
    family = method.family_of(problem, lambda number: task.state)
    visit = Visit(Pool([family], 1, 2, 1), 0, 0, family.draw(0), task, None)
    return method.visit_loss(visit._replace(real=method.summarise_real(visit)), synthetic, 0)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_passes_the_contract(name: str) -> None:
    """A frozen dataclass of plain settings; a finite loss, and a gradient for every learned tensor."""
    method_type = load(METHODS[name])
    method: Method = method_type(**NEEDS.get(name, {}))
    assert replace(method) == method  # type: ignore[type-var]
    problem, synthetic, task = make_small_case()
    result = method.objective(problem, lambda step: [task])(synthetic, 0)
    second = method.objective(problem, lambda step: [task._replace(generator=stream("task"))])(synthetic, 0)
    assert result.loss.isfinite()
    assert result.gradients.keys() == synthetic.tensors().keys()
    assert result.gradients["items"].any()
    assert bool(result.gradients["lrs"].any()) is method_type.learns_rates
    assert torch.equal(
        method.objective(problem, lambda step: [task._replace(generator=stream("task"))])(synthetic, 1).loss,
        second.loss,
    )


def test_kernel_ridge_is_ridge_regression_on_the_features() -> None:
    """In the primal: (AᵀA + λ I)⁻¹ Aᵀ L, which is the same by Woodbury."""
    problem, synthetic, task = make_small_case()
    synthetic_features = problem.features(task.state, synthetic.items)
    real_features = problem.features(task.state, task.x)
    n, width = synthetic_features.shape
    ridge = 1e-6 * (synthetic_features**2).sum() / n * torch.eye(width, dtype=torch.float64)
    weights = torch.linalg.solve(
        synthetic_features.T @ synthetic_features + ridge, synthetic_features.T @ synthetic.labels
    )
    answers = real_features @ weights
    torch.testing.assert_close(
        regress(synthetic_features, synthetic.labels, real_features, 1e-6), answers, rtol=1e-6, atol=1e-8
    )
    value = torch.nn.functional.cross_entropy(math.e**2 * answers, task.y)
    torch.testing.assert_close(compare(FRePo(), problem, synthetic, task), value, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", MATCHING)
def test_matching_is_zero_where_the_synthetic_items_are_the_real_ones(name: str) -> None:
    problem, synthetic, task = make_small_case(n=12)
    same = synthetic.replace_tensors({"items": task.x, "labels": torch.eye(3, dtype=torch.float64)[task.y]})
    value = compare(COMPARISONS[name], problem, same, task)
    assert abs(value.item()) < 1e-9
    assert compare(COMPARISONS[name], problem, synthetic, task).item() > 1e-3


@pytest.mark.parametrize("name", COMPARISONS)
def test_gradients_agree_with_finite_differences(name: str) -> None:
    exact = {"solver_steps": 200, "tolerance": 1e-13} if name == "rcig" else {}
    method = replace(COMPARISONS[name], **exact)
    problem, synthetic, task = make_small_case(steps=1)

    def value(items: torch.Tensor) -> torch.Tensor:
        return compare(method, problem, synthetic.replace_tensors({"items": items}), task)

    assert torch.autograd.gradcheck(
        value, synthetic.items.clone().requires_grad_(), atol=1e-2, rtol=1e-3
    )  # ridge regression is stiff


@pytest.mark.parametrize("name", [name for name in COMPARISONS if name != "rat-bptt"])  # its windows move on
def test_descending_lowers_the_comparison(name: str) -> None:
    problem, synthetic, task = make_small_case()
    objective = COMPARISONS[name].objective(
        problem, lambda step: [task._replace(generator=stream("t", step % 4))]
    )
    outer = OuterOptimizer(lr={"items": 0.05, "labels": 0.05, "lrs": 0.05}, warmup=1)
    losses = [
        s.loss
        for s in islice(
            descend(synthetic, objective, outer, initial_state(synthetic, outer), lambda _: 0.0), 80
        )
    ]
    assert sum(losses[-8:]) < 0.7 * sum(losses[:8])
    assert all(math.isfinite(loss) for loss in losses)


@pytest.mark.parametrize("name", COMPARISONS)
def test_a_mixture_of_experts_is_compared_or_refused_where_its_features_are_of_a_part(name: str) -> None:
    learn = partial(distill, easy_data(80), Experts(), n=4, outer_steps=2, method=name)
    if name == "dc":
        assert len(learn()) == 4
    else:
        with pytest.raises(NetworkError, match=r"gets \d+ of \d+ items.*a method that needs no features"):
            learn()
