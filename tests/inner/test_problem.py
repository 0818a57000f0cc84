"""advance() is one step of torch.optim, and nothing hides in the problem."""

import copy
import math

import pytest
import torch

from distill.inner import INNER_LOSSES
from distill.inner.losses import (
    best_factor,
    best_temperature_cross_entropy,
    cross_entropy,
    loss_name,
    soft_cross_entropy,
    squared_error,
)
from distill.inner.rules import SGD, Adam, Rule
from distill.registry import load
from tests.helpers import small_problem, small_steps, small_weights, waves


@pytest.mark.parametrize(
    ("rule", "optimiser_type", "arguments"),
    [
        (SGD(), torch.optim.SGD, {}),
        (SGD(0.9), torch.optim.SGD, {"momentum": 0.9}),
        (Adam(), torch.optim.Adam, {}),
    ],
)
def test_advance_equals_torch_optim_over_five_steps(
    rule: Rule, optimiser_type: type, arguments: dict
) -> None:
    problem = small_problem(rule)
    weights = small_weights(problem)
    network = copy.deepcopy(problem.network)
    network.load_state_dict(weights)
    steps = small_steps(problem, count=5)
    optimiser = optimiser_type(
        [{"params": [p], "lr": 0.0} for p in network.parameters()], lr=0.1, **arguments
    )
    state = problem.start(weights)
    for step in steps:
        for group, lr in zip(optimiser.param_groups, step.lr, strict=True):
            group["lr"] = float(lr)
        optimiser.zero_grad()
        soft_cross_entropy(network(step.x), step.y).backward()
        optimiser.step()
        with torch.no_grad():
            state = problem.advance(state, step)
    for weight, parameter in zip(state, network.parameters(), strict=False):
        torch.testing.assert_close(weight, parameter.detach(), rtol=1e-10, atol=1e-12)


def test_one_lr_is_the_same_lr_for_every_tensor() -> None:
    problem = small_problem()
    state, step = problem.start(small_weights(problem)), small_steps(problem, per_tensor=False)[0]
    step_per_tensor = step._replace(lr=step.lr.expand(len(problem.names)).clone())
    for a, b in zip(problem.advance(state, step), problem.advance(state, step_per_tensor), strict=True):
        torch.testing.assert_close(a, b)


def test_doubling_the_batch_changes_nothing() -> None:
    problem = small_problem()
    state, step = problem.start(small_weights(problem)), small_steps(problem)[0]
    doubled = step._replace(x=step.x.repeat(2, 1, 1, 1), y=step.y.repeat(2, 1))
    for a, b in zip(problem.advance(state, step), problem.advance(state, doubled), strict=True):
        torch.testing.assert_close(a, b)


def test_a_label_of_zeros_changes_no_weight_and_a_negated_one_changes_them_the_other_way() -> None:
    problem = small_problem()
    state, step = problem.start(small_weights(problem)), small_steps(problem)[0]
    after = problem.advance(state, step._replace(y=torch.zeros_like(step.y)))
    assert all(torch.equal(a, b) for a, b in zip(after, state, strict=True))
    plus, minus = problem.advance(state, step), problem.advance(state, step._replace(y=-step.y))
    for w, a, b in zip(state, plus, minus, strict=True):
        torch.testing.assert_close(a - w, w - b)


def test_soft_cross_entropy_of_one_hot_targets_is_torchs() -> None:
    logits, labels = waves(5, 4), torch.tensor([0, 3, 1, 1, 2])
    soft = soft_cross_entropy(logits, torch.eye(4).double()[labels])
    torch.testing.assert_close(soft, cross_entropy(logits, labels))


def test_squared_error_is_half_torchs_sum_over_classes() -> None:
    a, b = waves(5, 4), waves(5, 4, phase=1)
    torch.testing.assert_close(squared_error(a, b), torch.nn.functional.mse_loss(a, b) * 4 / 2)


@pytest.mark.parametrize("scale", [0.01, 0.3, 1.0, 7.0, 1000.0])
def test_the_best_temperature_is_that_of_a_search_and_at_least_one(scale: float) -> None:
    logits, y = scale * waves(40, 3), torch.arange(40) % 3
    logits = logits + scale * 0.8 * torch.nn.functional.one_hot(y, 3)
    factors = torch.logspace(-2, 0, 4000, dtype=logits.dtype)
    least = min(float(torch.nn.functional.cross_entropy(tau * logits, y)) for tau in factors)
    assert float(best_temperature_cross_entropy(logits, y)) == pytest.approx(least, rel=1e-5)


def test_the_best_temperature_bounds_what_it_can_be_of_bad_logits() -> None:
    logits, y = torch.eye(3), torch.tensor([1, 2, 0])  # each class but the right one
    assert float(best_factor(logits, y)) == pytest.approx(0.01)
    assert float(best_factor(torch.zeros(3, 3), y)) == 1.0
    assert torch.isfinite(best_temperature_cross_entropy(1e30 * logits, y))


def test_the_gradient_at_the_best_temperature_is_that_of_the_minimum() -> None:
    logits, y = (3 * waves(30, 3)).requires_grad_(), torch.arange(30) % 3
    assert torch.autograd.gradcheck(best_temperature_cross_entropy, (logits, y), atol=1e-5)


def test_the_uniform_loss_is_that_of_equal_logits() -> None:
    assert small_problem().uniform_loss(torch.tensor([0, 2, 1]), 3) == pytest.approx(math.log(3))


def test_a_loss_is_called_by_its_name_in_the_table_or_by_its_function() -> None:
    assert {word: loss_name(load(entry)) for word, entry in INNER_LOSSES.items()} == {
        w: w for w in INNER_LOSSES
    }
    assert loss_name(torch.nn.functional.mse_loss) == "mse_loss"


def test_an_undifferentiated_advance_keeps_no_graph() -> None:
    problem = small_problem(SGD(0.9))
    with torch.no_grad():
        after = problem.advance(problem.start(small_weights(problem)), small_steps(problem)[0])
    assert not any(t.requires_grad for t in after)
