"""Every engine gives the gradient that calculus, finite differences and each other give."""

from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from distill.inner.engines.base import Engine
from distill.inner.engines.higher import Higher, torch_optimiser
from distill.inner.engines.recompute import Recompute
from distill.inner.engines.truncated import Truncated
from distill.inner.engines.unroll import Unroll
from distill.inner.problem import Problem
from distill.inner.rules import SGD, Adam, Rule
from distill.inner.step import Step
from distill.randomness import stream
from tests.helpers import real_batch, small_problem, small_steps, small_weights

EXACT = [
    Unroll(),
    Recompute(),
    Recompute(every=1),
    Recompute(every=3),
    Recompute(states_device="cpu"),
    Truncated(99),
    Truncated(4, inner=Recompute()),
]
RULES = [SGD(), SGD(0.9), Adam()]


class TargetStep(NamedTuple):
    """A step of the scalar problem: towards a target, by a learning rate."""

    target: Tensor
    lr: Tensor


def step_toward(state: tuple[Tensor, ...], step: TargetStep) -> tuple[Tensor, ...]:
    """One gradient step on (w - target)² / 2."""
    (w,) = state
    return (w - step.lr * (w - step.target),)


def solve(engine: Engine, problem: Problem, steps: list[Step]) -> tuple[Tensor, list[Tensor]]:
    x, y = real_batch()
    state = problem.start(small_weights(problem))
    value, grads = engine.gradient(
        problem.advance, state, steps, lambda s: problem.loss(s, x, y), stream("solve")
    )
    return value, [t for step in grads for t in step]


@pytest.mark.parametrize("engine", EXACT, ids=repr)
def test_a_scalar_quadratic_has_the_gradient_computed_by_hand(engine: Engine) -> None:
    w, a, b, r, q = (torch.tensor(v, dtype=torch.float64) for v in (2.0, 0.5, -1.0, 0.3, 0.2))
    value, (first, second) = engine.gradient(
        step_toward, (w,), [TargetStep(a, r), TargetStep(b, q)], lambda s: s[0] ** 2 / 2
    )
    w1 = w - r * (w - a)
    w2 = w1 - q * (w1 - b)
    torch.testing.assert_close(value, w2**2 / 2)
    torch.testing.assert_close(second.target, w2 * q)
    torch.testing.assert_close(second.lr, -w2 * (w1 - b))
    torch.testing.assert_close(first.target, w2 * (1 - q) * r)
    torch.testing.assert_close(first.lr, -w2 * (1 - q) * (w - a))


@pytest.mark.parametrize("rule", RULES, ids=repr)
@pytest.mark.parametrize("engine", EXACT[1:], ids=repr)
@pytest.mark.parametrize("per_tensor", [True, False])
def test_engines_agree_to_1e_8(engine: Engine, rule: Rule, per_tensor: bool) -> None:
    problem = small_problem(rule)
    steps = small_steps(problem, per_tensor=per_tensor)
    value, grads = solve(Unroll(), problem, steps)
    engine_value, engine_grads = solve(engine, problem, steps)
    torch.testing.assert_close(engine_value, value, rtol=0, atol=1e-12)
    for expected, grad in zip(grads, engine_grads, strict=True):
        torch.testing.assert_close(grad, expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("rule", [SGD(), SGD(0.9), Adam(eps=1e-16)], ids=repr)
@pytest.mark.parametrize("per_tensor", [True, False])
def test_higher_agrees_to_1e_8(rule: Rule, per_tensor: bool) -> None:
    problem = small_problem(rule)
    steps = small_steps(problem, per_tensor=per_tensor)
    engine = Higher(problem.network, problem.inner_loss, torch_optimiser(rule))
    value, grads = solve(Unroll(), problem, steps)
    engine_value, engine_grads = solve(engine, problem, steps)
    torch.testing.assert_close(engine_value, value, rtol=0, atol=1e-10)
    for expected, grad in zip(grads, engine_grads, strict=True):
        torch.testing.assert_close(grad, expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_gradients_agree_with_finite_differences_over_every_field(rule: Rule) -> None:
    problem = small_problem(rule)
    steps = small_steps(problem, count=3)
    _, grads = solve(Recompute(), problem, steps)
    flat = [t for step in steps for t in step]
    for index, (tensor, grad) in enumerate(zip(flat, grads, strict=True)):
        direction = torch.cos(torch.arange(tensor.numel()).double()).reshape(tensor.shape)
        values = [shift_field(problem, steps, index, sign * 1e-5 * direction) for sign in (1, -1)]
        slope = (values[0] - values[1]) / 2e-5
        torch.testing.assert_close((grad * direction).sum(), slope, rtol=1e-5, atol=1e-8)


def shift_field(problem: Problem, steps: list[Step], index: int, change: Tensor) -> Tensor:
    """The outer value after one field of one step is moved."""
    flat = [t for step in steps for t in step]
    flat[index] = flat[index] + change
    return solve(Unroll(), problem, [Step(*flat[i : i + 3]) for i in range(0, len(flat), 3)])[0]


@pytest.mark.parametrize("engine", EXACT, ids=repr)
def test_one_tensor_used_at_two_steps_gets_a_gradient_for_each(engine: Engine) -> None:
    problem = small_problem()
    step = small_steps(problem, count=1)[0]
    shared = solve(engine, problem, [step, step])[1]
    separate = solve(engine, problem, [step, Step(*(t.clone() for t in step))])[1]
    for grad, expected in zip(shared, separate, strict=True):
        torch.testing.assert_close(grad, expected)
    assert not torch.allclose(shared[0], shared[3])


def test_a_last_window_gives_its_steps_the_exact_gradient_and_earlier_ones_zero() -> None:
    problem = small_problem()
    steps = small_steps(problem, count=5)
    _, full = solve(Unroll(), problem, steps)
    _, window = solve(Truncated(2), problem, steps)
    assert all(not t.any() for t in window[:9])
    for expected, grad in zip(full[9:], window[9:], strict=True):
        torch.testing.assert_close(grad, expected)


def test_a_random_window_is_the_exact_gradient_of_stopping_at_its_end() -> None:
    problem = small_problem()
    steps, (x, y) = small_steps(problem, count=6), real_batch()
    engine, state = Truncated(2, window_at="random"), problem.start(small_weights(problem))
    places = {engine.place_window(6, stream("window", k)) for k in range(60)}
    assert places == {(0, 2), (1, 3), (2, 4), (3, 5), (4, 6)}
    start, stop = engine.place_window(6, stream("window", 3))
    value, grads = engine.gradient(
        problem.advance, state, steps, lambda s: problem.loss(s, x, y), stream("window", 3)
    )
    expected_value, expected = solve(Truncated(2), problem, steps[:stop])
    torch.testing.assert_close(value, expected_value)
    assert [bool(g.x.any()) for g in grads] == [start <= t < stop for t in range(6)]
    torch.testing.assert_close(grads[stop - 1].x, expected[-3])


def test_the_inner_training_grows_from_the_window_to_all_steps() -> None:
    engine = Truncated(15, grow_over=200)
    stops = [engine.at_step(step).place_window(100, None)[1] for step in (0, 100, 200, 5000)]
    assert stops == [15, 57, 100, 100]
    assert Truncated(15).at_step(0).place_window(100, None) == (85, 100)


@pytest.mark.parametrize("at", ["last", "random"])
def test_a_growing_window_does_not_depend_on_later_steps(at: str) -> None:
    problem = small_problem()
    steps = small_steps(problem, count=6)
    short_value, short = solve(Truncated(2, at), problem, steps[:3])
    long_value, long = solve(Truncated(2, at, growth=0.25), problem, steps)
    assert short_value == long_value
    assert not any(t.any() for t in long[9:])
    for grad, expected in zip(long, short, strict=False):
        assert torch.equal(grad, expected)


@pytest.mark.parametrize("engine", EXACT, ids=repr)
def test_an_engine_leaves_its_arguments_unchanged(engine: Engine) -> None:
    problem = small_problem(SGD(0.9))
    steps = small_steps(problem)
    before = [t.clone() for step in steps for t in step]
    solve(engine, problem, steps)
    after = [t for step in steps for t in step]
    assert all(torch.equal(a, b) and not a.requires_grad for a, b in zip(after, before, strict=True))
