"""The unroll: horizons beyond the recipe, windows, augmentation, the inner loss and where labels start."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from distill.data.augment.batch import build_augmentation
from distill.errors import UserError
from distill.inner.engines.base import Engine
from distill.inner.engines.recompute import Recompute
from distill.inner.engines.truncated import Truncated
from distill.inner.engines.unroll import Unroll
from distill.inner.losses import best_temperature_cross_entropy, squared_error
from distill.inner.problem import Problem, Task
from distill.inner.rules import SGD
from distill.methods.base import Named
from distill.methods.unroll import BPTT, meta_gradient
from distill.outer.starts import start_lrs
from distill.outer.synthetic import Synthetic, cyclic_schedule
from distill.randomness import stream
from tests.helpers import CLASSES, SHAPE, real_batch, small_problem, small_weights, waves

HORIZON = 7  # of a recipe of three steps


def make_case(squared: bool = False) -> tuple[Problem, Synthetic, Task]:
    problem = small_problem(SGD(0.9))
    problem = replace(problem, inner_loss=squared_error) if squared else problem
    raw_lrs = start_lrs(0.05, 3, None).double() + 0.1 * waves(3)
    data = Synthetic(waves(4, *SHAPE), waves(4, CLASSES, phase=3), raw_lrs, cyclic_schedule(4, 2, 3))
    return problem, data, Task(problem.start(small_weights(problem)), *real_batch(), stream("t"))


def solve(engine: Engine, squared: bool = False, **tensors: Tensor) -> tuple[Tensor, Named]:
    problem, data, task = make_case(squared)
    return meta_gradient(problem, data.replace_tensors(tensors), engine, task, horizon=HORIZON)


@pytest.mark.parametrize("squared", [False, True])
@pytest.mark.parametrize("name", ["items", "labels", "lrs"])
def test_beyond_the_recipe_gradients_agree_with_finite_differences(name: str, squared: bool) -> None:
    tensor = make_case()[1].tensors()[name]
    direction = torch.cos(torch.arange(tensor.numel()).double()).reshape(tensor.shape)
    above, below = (
        solve(Unroll(), squared, **{name: tensor + sign * 1e-5 * direction})[0] for sign in (1, -1)
    )
    slope = (solve(Unroll(), squared)[1][name] * direction).sum()
    torch.testing.assert_close(slope, (above - below) / 2e-5, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("engine", [Recompute(), Truncated(HORIZON), Truncated(HORIZON, "random")], ids=repr)
def test_a_window_of_all_steps_is_the_full_unroll(engine: Engine) -> None:
    torch.testing.assert_close(solve(engine), solve(Unroll()), rtol=1e-9, atol=1e-12)


def test_a_window_beyond_the_recipe_moves_only_the_last_rate() -> None:
    _, gradients = solve(Truncated(2))
    assert not gradients["lrs"][:2].any()
    assert gradients["lrs"][2] != 0
    assert gradients["items"].any()


def test_horizons_are_uniform_between_the_two_and_T_without_them() -> None:
    def draw(method: BPTT) -> set[int]:
        return {method.draw_horizon(12, stream("horizon", k)) for k in range(200)}

    assert draw(BPTT()) == {12}
    assert draw(BPTT(min_horizon=10, max_horizon=14)) == {10, 11, 12, 13, 14}
    assert draw(BPTT(max_horizon=14)) == {12, 13, 14}
    assert draw(BPTT(min_horizon=11)) == {11, 12}
    assert draw(BPTT(min_horizon=13)) == {13}


def test_horizons_of_merged_steps_are_as_long_as_those_of_the_recipe() -> None:
    def draw(method: BPTT) -> set[int]:
        return {method.draw_horizon(3, stream("horizon", k), merged=4) for k in range(200)}

    assert draw(BPTT()) == {3}
    assert draw(BPTT(max_horizon=12)) == {3}
    assert draw(BPTT(max_horizon=36)) == set(range(3, 10))


def test_without_horizons_nothing_is_drawn() -> None:
    generator, other = stream("horizon"), stream("horizon")
    BPTT().draw_horizon(12, generator)
    assert torch.equal(torch.rand(3, generator=generator), torch.rand(3, generator=other))


def test_an_outer_step_of_a_horizon_is_the_recipe_trained_on() -> None:
    problem, data, task = make_case()
    result = BPTT(min_horizon=HORIZON).objective(problem, lambda _: [task])(data, 0)
    state = task.state
    rows, lrs = [0, 1, 0, 0, 1, 0, 0], [0, 1, 2, 2, 2, 2, 2]
    for row, lr in zip(rows, lrs, strict=True):
        step = data.steps()[row]
        state = problem.advance(state, step._replace(lr=data.lrs()[lr]))
    torch.testing.assert_close(result.loss, problem.loss(state, task.x, task.y))


def test_the_outer_loss_of_the_method_goes_before_that_of_the_problem() -> None:
    problem, data, task = make_case()
    problem = replace(problem, outer_loss=lambda logits, y: logits.square().mean())
    plain = BPTT(outer_loss="cross-entropy").objective(problem, lambda _: [task])(data, 0)
    tempered = BPTT(outer_loss="best-temperature").objective(problem, lambda _: [task])(data, 0)
    own = BPTT().objective(problem, lambda _: [task])(data, 0)
    state = task.state
    for step in data.steps():
        state = problem.advance(state, step)
    logits = problem.logits(state, task.x)
    torch.testing.assert_close(plain.loss, torch.nn.functional.cross_entropy(logits, task.y))
    torch.testing.assert_close(tempered.loss, best_temperature_cross_entropy(logits, task.y))
    torch.testing.assert_close(own.loss, logits.square().mean())


def test_horizons_that_cannot_be_are_refused() -> None:
    with pytest.raises(UserError, match="min_horizon is 9, max_horizon 8: the fewest inner steps must not"):
        BPTT(min_horizon=9, max_horizon=8)
    with pytest.raises(UserError, match="--max-horizon 8 is below the 12 inner steps.*or fewer"):
        BPTT(max_horizon=8).check_steps(12)
    with pytest.raises(UserError, match="relative_clip must be"):
        BPTT(relative_clip=0.5)


def test_each_inner_step_is_augmented_anew() -> None:
    problem, data, task = make_case()
    seen = []

    def augment(x: Tensor, generator: torch.Generator) -> Tensor:
        seen.append(build_augmentation("crop-scale-rotate")(x.detach().float(), generator))
        return x

    meta_gradient(problem, data, Unroll(), task, augment, HORIZON)
    assert len(seen) == HORIZON
    first = [x for x, row in zip(seen, [0, 1, 0, 0, 1, 0, 0], strict=True) if row == 0]
    assert not any(torch.equal(first[0], later) for later in first[1:])


def test_merged_steps_are_fewer_at_the_sum_of_their_rates() -> None:
    items, labels = waves(4, *SHAPE), waves(4, CLASSES, phase=3)
    whole = Synthetic(
        items, labels, start_lrs(0.05, 4, 2).double() + 0.1 * waves(4, 2), torch.arange(4).repeat(4, 1)
    )
    steps, merged = whole.steps(), whole.merge(2).steps()
    assert len(merged) == 2
    torch.testing.assert_close(merged[1].lr, steps[2].lr + steps[3].lr)
    assert torch.equal(merged[1].x, items)
    assert torch.equal(whole.merge(2).raw_lrs, whole.raw_lrs)


def test_steps_double_while_most_is_to_learn() -> None:
    method = BPTT(step_doublings=2)
    assert [method.merged_steps(step) for step in (0, 249, 250, 699, 700, 10**6)] == [4, 4, 2, 2, 1, 1]
    assert BPTT().merged_steps(0) == 1
    assert BPTT(step_doublings=1).merged_steps(250) == 1


def test_an_outer_step_on_merged_steps_is_the_shorter_training() -> None:
    problem, data, task = make_case()
    raw_lrs = start_lrs(0.05, 2, None).double()
    whole = replace(data, schedule=torch.arange(4).repeat(2, 1), raw_lrs=raw_lrs)
    result = BPTT(step_doublings=1).objective(problem, lambda _: [task])(whole, 0)
    (step,) = whole.merge(2).steps()
    torch.testing.assert_close(step.lr, whole.lrs().sum())
    torch.testing.assert_close(result.loss, problem.loss(problem.advance(task.state, step), task.x, task.y))
    assert torch.equal(*result.gradients["lrs"])
    later = BPTT(step_doublings=1).objective(problem, lambda _: [task])(whole, 250)
    assert not torch.equal(*later.gradients["lrs"])


def test_doublings_that_cannot_be_are_refused() -> None:
    with pytest.raises(UserError, match="--step-doublings 2 needs inner steps that 4 divides, not 6"):
        BPTT(step_doublings=2).check_steps(6)
    with pytest.raises(UserError, match="step_doublings must be"):
        BPTT(step_doublings=4)
