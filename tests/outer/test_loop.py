"""The outer loop: exact gradients through the maps, torch's Adam, and recovery from what is not finite."""

import math
from dataclasses import replace
from itertools import islice

import pytest
import torch

from distill.inner.engines.recompute import Recompute
from distill.inner.engines.unroll import Unroll
from distill.inner.problem import Problem, Task
from distill.inner.rules import SGD
from distill.methods.base import OuterGradient
from distill.methods.unroll import bilevel, meta_gradient
from distill.outer.loop import (
    KEPT,
    MOST_STEPS_BACK,
    OuterOptimizer,
    OuterState,
    clip,
    clip_gradients,
    cosine_decay,
    descend,
    initial_state,
    is_usable,
    record_loss,
)
from distill.outer.starts import start_lrs
from distill.outer.synthetic import Synthetic, cyclic_schedule
from distill.randomness import stream
from tests.helpers import CLASSES, SHAPE, real_batch, small_problem, small_weights, waves

LOOSE = OuterOptimizer(
    lr={"items": 0.05, "labels": 0.02, "lrs": 0.02}, clip_norm=1e9, average_decay=0.9, warmup=1
)


def make_synthetic(label_map: str = "soft", tensors: int | None = None) -> Synthetic:
    raw_lrs = start_lrs(0.1, 3, tensors).double()
    return Synthetic(waves(2, *SHAPE), waves(2, CLASSES), raw_lrs, cyclic_schedule(2, 2, 3), label_map)


def repeat_task(problem: Problem, poison: tuple[int, ...] = ()) -> object:
    """The same task at every step; NaN pixels at the poisoned ones."""
    x, y = real_batch()

    def task(step: int) -> Task:
        items = x * float("nan") if step in poison else x
        return Task(problem.start(small_weights(problem)), items, y, stream("t", step))

    return task


def run_steps(
    steps: int,
    optimizer: OuterOptimizer = LOOSE,
    poison: tuple[int, ...] = (),
    start: OuterState | None = None,
):
    problem, data = small_problem(), make_synthetic()
    state, task = start or initial_state(data, optimizer), repeat_task(problem, poison)
    objective = bilevel(problem, Unroll(), lambda step: [task(step)])
    loop = descend(data, objective, optimizer, state, lambda step: step / 20)
    return list(islice(loop, steps))


@pytest.mark.parametrize("label_map", ["soft", "softmax", "hard"])
@pytest.mark.parametrize("engine", [Unroll(), Recompute()], ids=repr)
def test_the_gradient_of_every_learned_tensor_agrees_with_finite_differences(label_map, engine) -> None:
    problem, data = small_problem(), make_synthetic(label_map, tensors=6)
    task = repeat_task(problem)(0)
    _, gradients = meta_gradient(problem, data, engine, task)
    assert set(gradients) == set(data.tensors())
    for name, tensor in data.tensors().items():
        direction = torch.cos(torch.arange(tensor.numel()).double()).reshape(tensor.shape)
        above, below = (
            meta_gradient(
                problem, data.replace_tensors({name: tensor + sign * 1e-5 * direction}), engine, task
            )[0]
            for sign in (1, -1)
        )
        torch.testing.assert_close(
            (gradients[name] * direction).sum(), (above - below) / 2e-5, rtol=1e-5, atol=1e-8
        )


def test_several_networks_per_step_give_the_mean_of_their_gradients_and_losses() -> None:
    problem, data = small_problem(), make_synthetic()
    tasks = [t._replace(x=t.x * (1 + i)) for i, t in enumerate(map(repeat_task(problem), range(3)))]
    mean = bilevel(problem, Unroll(), lambda _: tasks)(data, 0)
    single = [meta_gradient(problem, data, Unroll(), task) for task in tasks]
    torch.testing.assert_close(mean.loss, sum(value for value, _ in single) / 3)
    for name, gradient in mean.gradients.items():
        torch.testing.assert_close(gradient, sum(gradients[name] for _, gradients in single) / 3)
    assert mean.uniform_loss == pytest.approx(math.log(CLASSES))


def test_outer_steps_are_torchs_adam_with_the_cosine_as_its_lr() -> None:
    problem, data = small_problem(), make_synthetic()
    tensors = {name: t.clone() for name, t in data.tensors().items()}
    groups = [{"params": [t], "lr": LOOSE.lr[name]} for name, t in tensors.items()]
    adam = torch.optim.Adam(groups, betas=(LOOSE.beta1, LOOSE.beta2))
    states = run_steps(6)
    for step in range(6):
        _, gradients = meta_gradient(
            problem, data.replace_tensors(tensors), Unroll(), repeat_task(problem)(step)
        )
        for (name, t), group in zip(tensors.items(), adam.param_groups, strict=True):
            t.grad = gradients[name]
            group["lr"] = LOOSE.lr[name] * cosine_decay(step / 20)
        adam.step()
    for name, t in tensors.items():
        torch.testing.assert_close(states[-1].tensors[name], t)


def test_the_loss_falls() -> None:
    losses = [s.loss for s in run_steps(15)]
    assert losses[-1] < 0.8 * losses[0]


def test_golden_losses_of_five_outer_steps() -> None:
    """Weights, items and labels are sines, so that no change of a random generator moves these."""
    problem, data = small_problem(SGD(0.9)), make_synthetic()
    shapes = {name: p.shape for name, p in problem.network.named_parameters()}
    weights = {name: 0.5 * waves(*shape, phase=i) for i, (name, shape) in enumerate(shapes.items())}
    x, y = real_batch()
    task = Task(problem.start(weights), x, y, stream("golden"))
    optimizer = OuterOptimizer(lr={"items": 0.1, "labels": 0.02, "lrs": 0.02}, clip_norm=0.05, warmup=1)
    objective = bilevel(problem, Unroll(), lambda _: [task])
    loop = descend(data, objective, optimizer, initial_state(data, optimizer), lambda s: s / 5)
    losses = [s.loss for s in islice(loop, 5)]
    assert losses == pytest.approx(GOLDEN, rel=1e-6)


GOLDEN = [1.2837131447, 1.2058158263, 1.1650842104, 1.1488690040, 1.1424709622]


def test_a_small_gradient_stays_and_a_large_one_is_clipped() -> None:
    grad = torch.tensor([3.0, 4.0])
    assert torch.equal(clip(grad, 10.0), grad)
    torch.testing.assert_close(clip(grad, 1.0), grad / 5)
    assert not clip(torch.zeros(2), 1.0).any()


def test_the_cosine_starts_at_one_and_ends_at_zero() -> None:
    assert [cosine_decay(s) for s in (0, 0.5, 1, 2)] == pytest.approx([1, 0.5, 0, 0])


def test_the_average_starts_as_a_mean_of_iterates_and_then_decays() -> None:
    states = run_steps(3)
    start = initial_state(make_synthetic(), LOOSE).tensors["items"]
    expected = start
    for step, state in enumerate(states):
        weight = max(1 - LOOSE.average_decay, 9 / (10 + step))
        expected = torch.lerp(expected, state.tensors["items"], weight)
        torch.testing.assert_close(state.average["items"], expected)


def test_a_step_that_is_not_finite_changes_nothing_and_is_counted() -> None:
    before, after, next_state = run_steps(3, poison=(1,))
    assert after.skipped == 1
    assert after.step == before.step + 1
    assert all(torch.equal(after.tensors[k], before.tensors[k]) for k in before.tensors)
    assert next_state.skipped_in_a_row == 0
    assert next_state.loss < before.loss


def test_the_lrs_rise_from_zero_over_the_warmup() -> None:
    start = initial_state(make_synthetic(), LOOSE).tensors["items"]
    cold, warm = (run_steps(1, replace(LOOSE, warmup=w))[0].tensors["items"] - start for w in (1, 4))
    torch.testing.assert_close(warm, cold / 4)


def test_the_warmup_of_a_short_run_is_a_tenth_of_it() -> None:
    optimizer = replace(LOOSE, warmup=1000)
    states = run_steps(3, optimizer)  # of 20
    early, late = (states[i].tensors["items"] - states[i - 1].tensors["items"] for i in (1, 2))
    assert early.abs().mean() < 0.6 * late.abs().mean()
    assert late.abs().mean() > 0.3 * LOOSE.lr["items"]


def test_a_step_without_a_gradient_for_the_items_is_not_usable() -> None:
    gradients = {"items": torch.zeros(3), "labels": torch.ones(2)}
    assert not is_usable(OuterGradient(torch.tensor(2.3), gradients))
    assert is_usable(
        OuterGradient(torch.tensor(2.3), {"items": torch.tensor([0.0, 1e-9]), "labels": torch.ones(2)})
    )


def test_skipped_steps_in_a_row_roll_back_to_the_last_good_state_at_half_the_lr() -> None:
    problem, data, optimizer = small_problem(), make_synthetic(), replace(LOOSE, patience=3, save_every=2)
    task = repeat_task(problem, poison=(5, 6, 7))
    unrolled = bilevel(problem, Unroll(), lambda step: [task(step)])

    def objective(synthetic: Synthetic, step: int) -> OuterGradient:
        """No loss is near the uniform one, so that every state may become the last good one."""
        return unrolled(synthetic, step)._replace(uniform_loss=math.inf)

    loop = descend(data, objective, optimizer, initial_state(data, optimizer), lambda step: step / 20)
    states = list(islice(loop, 9))
    last_good = states[4].last_good
    assert torch.equal(last_good["items"], states[3].average["items"])
    rolled_back = states[7]
    assert (rolled_back.rollbacks, rolled_back.lr_scale) == (1, 0.5)
    assert (rolled_back.skipped_in_a_row, rolled_back.skipped) == (0, 3)
    assert all(torch.equal(rolled_back.tensors[k], last_good[k]) for k in last_good)
    assert not any(m.any() for m in rolled_back.memory)
    assert states[8].loss == pytest.approx(states[4].loss, rel=0.3)


def state_at(step: int) -> OuterState:
    """A state at this step whose last good trend is a loss of 1, with an average that differs from it."""
    state = replace(initial_state(make_synthetic(), LOOSE), step=step, last_good_trend=1.0)
    return replace(state, average={k: t + 1 for k, t in state.average.items()})


def test_a_much_worse_state_is_not_the_last_good_one() -> None:
    state = state_at(100)
    assert record_loss(state, 2.1, 2.3, LOOSE).last_good is state.last_good
    assert record_loss(state, 1.9, 2.3, LOOSE).last_good is state.average
    assert record_loss(replace(state, step=101), 0.5, 2.3, LOOSE).last_good_trend == 1.0


def test_a_loss_that_returns_to_the_uniform_one_rolls_back_and_one_that_never_left_it_does_not() -> None:
    state = state_at(100)
    rolled_back = record_loss(state, 2.3, 2.3, LOOSE)
    assert (rolled_back.rollbacks, rolled_back.lr_scale) == (1, 0.5)
    assert all(torch.equal(rolled_back.tensors[k], state.last_good[k]) for k in state.last_good)
    assert record_loss(replace(state, step=101), 2.3, 2.3, LOOSE).rollbacks == 0
    early = record_loss(replace(state, last_good_trend=float("inf")), 2.3, 2.3, LOOSE)
    assert early.rollbacks == 0
    assert early.last_good is state.last_good


def test_the_lrs_grow_back_after_a_rollback() -> None:
    state = replace(state_at(100), lr_scale=0.5)
    assert record_loss(state, 0.9, 2.3, LOOSE).lr_scale == pytest.approx(0.55)
    assert record_loss(replace(state, lr_scale=0.99), 0.9, 2.3, LOOSE).lr_scale == 1.0
    assert record_loss(state, 2.1, 2.3, LOOSE).lr_scale == 0.5


def test_the_trend_is_a_mean_of_recent_losses() -> None:
    state = record_loss(record_loss(state_at(1), 2.0, 2.3, LOOSE), 1.0, 2.3, LOOSE)
    assert state.trend == pytest.approx(2.0 - 4 / LOOSE.save_every)
    assert record_loss(state, 1e17, 2.3, LOOSE).trend < 2.0


def test_a_resumed_loop_is_bit_identical_to_an_uninterrupted_one() -> None:
    uninterrupted, first = run_steps(8), run_steps(3)
    resumed = run_steps(5, start=first[-1])
    assert all(
        torch.equal(uninterrupted[-1].tensors[k], resumed[-1].tensors[k]) for k in uninterrupted[-1].tensors
    )
    assert all(torch.equal(a, b) for a, b in zip(uninterrupted[-1].memory, resumed[-1].memory, strict=True))


RELATIVE = replace(LOOSE, relative_clip=2.0)


def test_a_relative_clip_follows_the_mean_of_the_norms_and_cuts_a_spike() -> None:
    state = initial_state(make_synthetic(), RELATIVE)
    gradient = {name: torch.ones_like(t) for name, t in state.tensors.items()}
    clipped, norms = clip_gradients(state, gradient, RELATIVE)
    size = gradient["items"].norm()
    assert torch.equal(clipped["items"], gradient["items"])  # the first is taken as it is
    torch.testing.assert_close(norms["items"], size)
    spike = {name: 1000 * g for name, g in gradient.items()}
    clipped, norms = clip_gradients(replace(state, gradient_norms=norms), spike, RELATIVE)
    torch.testing.assert_close(clipped["items"].norm(), 2 * size)
    torch.testing.assert_close(norms["items"], 1.1 * size)  # so a spike moves the mean by a tenth
    nothing = {name: torch.zeros_like(g) for name, g in gradient.items()}
    clipped, _ = clip_gradients(state, nothing, RELATIVE)
    assert not clipped["labels"].any()


def test_a_relative_clip_is_resumed_bit_identically() -> None:
    whole, first = run_steps(9, RELATIVE), run_steps(4, RELATIVE)
    resumed = run_steps(5, RELATIVE, start=first[-1])
    for name in whole[-1].tensors:
        assert torch.equal(whole[-1].tensors[name], resumed[-1].tensors[name])
        assert torch.equal(whole[-1].gradient_norms[name], resumed[-1].gradient_norms[name])
    assert whole[0].gradient_norms.keys() == whole[0].tensors.keys()
    assert run_steps(1)[0].gradient_norms == {}


def descend_with_losses(losses: dict[int, float], largest_jump: float | None) -> list[OuterState]:
    """Twenty states of a loop whose losses are 1 but for these steps."""
    data = make_synthetic()
    optimizer = replace(LOOSE, patience=100, save_every=100, largest_jump=largest_jump)

    def objective(synthetic: Synthetic, step: int) -> OuterGradient:
        gradients = {name: torch.ones_like(t) for name, t in synthetic.tensors().items()}
        return OuterGradient(torch.tensor(losses.get(step, 1.0)), gradients, uniform_loss=2.0)

    loop = descend(data, objective, optimizer, initial_state(data, optimizer), lambda step: step / 20)
    return list(islice(loop, 20))


def test_a_step_after_which_the_loss_jumps_is_shortened() -> None:
    states = descend_with_losses({8: 1.5, 9: 1.5}, 1.4)
    before, after = (states[i].tensors["items"] for i in (6, 7))
    for i, share in ((8, KEPT), (9, KEPT**2)):
        torch.testing.assert_close(states[i].tensors["items"], torch.lerp(before, after, share))
        assert (states[i].memory, states[i].average) == (states[7].memory, states[7].average)
    assert [state.steps_back for state in states[7:11]] == [0, 1, 2, 0]
    assert [state.loss for state in states[7:11]] == [1, 1.5, 1.5, 1]
    assert not torch.equal(states[10].tensors["items"], states[9].tensors["items"])


def test_a_loss_that_stays_high_is_believed_after_a_few_steps_back() -> None:
    states = descend_with_losses(dict.fromkeys(range(8, 30), 1.5), 1.4)
    assert [state.steps_back for state in states[7:14]] == [0, *range(1, MOST_STEPS_BACK + 1), 0]
    assert states[13].mean_loss == pytest.approx(1.05)  # a tenth of the way


@pytest.mark.parametrize(("loss", "largest_jump"), [(1.3, 1.4), (50.0, None)])
def test_smaller_jumps_and_networks_drawn_anew_go_on(loss: float, largest_jump: float | None) -> None:
    states = descend_with_losses({8: loss}, largest_jump)
    assert states[8].steps_back == 0
    assert not torch.equal(states[8].tensors["items"], states[7].tensors["items"])
