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
from distill.outer.loop import OuterOptimizer, OuterState, clip, cosine, descend, kept, usable
from distill.outer.starts import start_rates
from distill.outer.synthetic import Synthetic, cyclic_schedule
from distill.randomness import stream
from tests.helpers import CLASSES, SHAPE, real_batch, small_problem, small_weights, waves

LOOSE = OuterOptimizer(lr={"items": 0.05, "labels": 0.02, "rates": 0.02}, clip=1e9, average=0.9, warmup=1)


def synthetic(label_map: str = "soft", tensors: int | None = None) -> Synthetic:
    rates = start_rates(0.1, 3, tensors).double()
    return Synthetic(waves(2, *SHAPE), waves(2, CLASSES), rates, cyclic_schedule(2, 2, 3), label_map)


def still(problem: Problem, poison: tuple[int, ...] = ()) -> object:
    """The same task at every step; NaN pixels at the poisoned ones."""
    x, y = real_batch()

    def task(step: int) -> Task:
        bad = x * float("nan") if step in poison else x
        return Task(problem.start(small_weights(problem)), bad, y, stream("t", step))

    return task


def after(steps: int, outer: Outer = LOOSE, poison: tuple[int, ...] = (), start: OuterState | None = None):
    problem, data = small_problem(), synthetic()
    state, task = start or initial_state(data, outer), still(problem, poison)
    objective = bilevel(problem, Unroll(), lambda step: [task(step)])
    loop = descend(data, objective, outer, state, lambda step: step / 20)
    return list(islice(loop, steps))


@pytest.mark.parametrize("label_map", ["soft", "softmax", "hard"])
@pytest.mark.parametrize("engine", [Unroll(), Recompute()], ids=repr)
def test_the_gradient_of_every_learned_tensor_agrees_with_finite_differences(label_map, engine) -> None:
    problem, data = small_problem(), synthetic(label_map, tensors=6)
    task = still(problem)(0)
    _, grads = meta_gradient(problem, data, engine, task)
    assert set(grads) == set(data.tensors())
    for name, tensor in data.tensors().items():
        way = torch.cos(torch.arange(tensor.numel()).double()).reshape(tensor.shape)
        up, down = (
            meta_gradient(problem, data.replace_tensors({name: tensor + sign * 1e-5 * way}), engine, task)[0]
            for sign in (1, -1)
        )
        torch.testing.assert_close((grads[name] * way).sum(), (up - down) / 2e-5, rtol=1e-5, atol=1e-8)


def test_several_networks_per_step_give_the_mean_of_their_gradients_and_losses() -> None:
    problem, data = small_problem(), synthetic()
    tasks = [t._replace(x=t.x * (1 + i)) for i, t in enumerate(map(still(problem), range(3)))]
    found = bilevel(problem, Unroll(), lambda _: tasks)(data, 0)
    alone = [meta_gradient(problem, data, Unroll(), task) for task in tasks]
    torch.testing.assert_close(found.loss, sum(value for value, _ in alone) / 3)
    for name, grad in found.grads.items():
        torch.testing.assert_close(grad, sum(grads[name] for _, grads in alone) / 3)
    assert found.uniform_loss == pytest.approx(math.log(CLASSES))


def test_outer_steps_are_torchs_adam_with_the_cosine_as_its_rate() -> None:
    problem, data = small_problem(), synthetic()
    tensors = {name: t.clone() for name, t in data.tensors().items()}
    groups = [{"params": [t], "lr": LOOSE.lr[name]} for name, t in tensors.items()]
    adam = torch.optim.Adam(groups, betas=(LOOSE.beta1, LOOSE.beta2))
    states = after(6)
    for step in range(6):
        _, grads = meta_gradient(problem, data.replace_tensors(tensors), Unroll(), still(problem)(step))
        for (name, t), group in zip(tensors.items(), adam.param_groups, strict=True):
            t.grad = grads[name]
            group["lr"] = LOOSE.lr[name] * cosine(step / 20)
        adam.step()
    for name, t in tensors.items():
        torch.testing.assert_close(states[-1].tensors[name], t)


def test_the_loss_falls() -> None:
    losses = [s.loss for s in after(15)]
    assert losses[-1] < 0.8 * losses[0]


def test_golden_losses_of_five_outer_steps() -> None:
    """Weights, items and labels are sines, so that no change of a random generator moves these."""
    problem, data = small_problem(SGD(0.9)), synthetic()
    shapes = {name: p.shape for name, p in problem.network.named_parameters()}
    weights = {name: 0.5 * waves(*shape, phase=i) for i, (name, shape) in enumerate(shapes.items())}
    x, y = real_batch()
    task = Task(problem.start(weights), x, y, stream("golden"))
    outer = OuterOptimizer(lr={"items": 0.1, "labels": 0.02, "rates": 0.02}, clip=0.05, warmup=1)
    objective = bilevel(problem, Unroll(), lambda _: [task])
    loop = descend(data, objective, outer, initial_state(data, outer), lambda s: s / 5)
    losses = [s.loss for s in islice(loop, 5)]
    assert losses == pytest.approx(GOLDEN, rel=1e-6)


GOLDEN = [1.2837131447, 1.2058158263, 1.1650842104, 1.1488690040, 1.1424709622]


def test_a_short_gradient_is_kept_and_a_long_one_shortened() -> None:
    grad = torch.tensor([3.0, 4.0])
    assert torch.equal(clip(grad, 10.0), grad)
    torch.testing.assert_close(clip(grad, 1.0), grad / 5)
    assert not clip(torch.zeros(2), 1.0).any()


def test_the_cosine_starts_at_one_and_ends_at_zero() -> None:
    assert [cosine(s) for s in (0, 0.5, 1, 2)] == pytest.approx([1, 0.5, 0, 0])


def test_the_average_is_the_mean_of_the_first_iterates_and_then_follows() -> None:
    states = after(3)
    start = initial_state(synthetic(), LOOSE).tensors["items"]
    expected = start
    for step, state in enumerate(states):
        weight = max(1 - LOOSE.average, 9 / (10 + step))
        expected = torch.lerp(expected, state.tensors["items"], weight)
        torch.testing.assert_close(state.average["items"], expected)


def test_a_step_that_is_not_finite_changes_nothing_and_is_counted() -> None:
    before, bad, good = after(3, poison=(1,))
    assert bad.skipped == 1
    assert bad.step == before.step + 1
    assert all(torch.equal(bad.tensors[k], before.tensors[k]) for k in before.tensors)
    assert good.streak == 0
    assert good.loss < before.loss


def test_the_rates_rise_from_zero_over_the_warmup() -> None:
    start = initial_state(synthetic(), LOOSE).tensors["items"]
    cold, warm = (after(1, replace(LOOSE, warmup=w))[0].tensors["items"] - start for w in (1, 4))
    torch.testing.assert_close(warm, cold / 4)


def test_a_tenth_of_a_short_run_is_warmup_enough() -> None:
    outer = replace(LOOSE, warmup=1000)
    states = after(3, outer)  # of 20
    early, late = (states[i].tensors["items"] - states[i - 1].tensors["items"] for i in (1, 2))
    assert early.abs().mean() < 0.6 * late.abs().mean()
    assert late.abs().mean() > 0.3 * LOOSE.lr["items"]


def test_items_that_no_longer_matter_count_as_a_useless_step() -> None:
    grads = {"items": torch.zeros(3), "labels": torch.ones(2)}
    assert not usable(OuterGradient(torch.tensor(2.3), grads))
    assert usable(
        OuterGradient(torch.tensor(2.3), {"items": torch.tensor([0.0, 1e-9]), "labels": torch.ones(2)})
    )


def test_a_streak_rolls_back_to_the_last_good_state_at_half_the_rate() -> None:
    problem, data, outer = small_problem(), synthetic(), replace(LOOSE, patience=3, keep=2)
    task = still(problem, poison=(5, 6, 7))
    unrolled = bilevel(problem, Unroll(), lambda step: [task(step)])

    def loud(synthetic: Synthetic, step: int) -> OuterGradient:  # what is learned here is worse than silence
        return unrolled(synthetic, step)._replace(silence=math.inf)

    states = list(islice(descend(data, loud, outer, initial_state(data, outer), lambda step: step / 20), 9))
    good = states[4].good
    assert torch.equal(good["items"], states[3].average["items"])
    rolled = states[7]
    assert (rolled.rollbacks, rolled.scale, rolled.streak, rolled.skipped) == (1, 0.5, 0, 3)
    assert all(torch.equal(rolled.tensors[k], good[k]) for k in good)
    assert not any(m.any() for m in rolled.memory)
    assert states[8].loss == pytest.approx(states[4].loss, rel=0.3)


def learned(step: int) -> OuterState:
    """A state at this step whose good one stood at a loss of 1, with an average of its own."""
    state = replace(initial_state(synthetic(), LOOSE), step=step, well=1.0)
    return replace(state, average={k: t + 1 for k, t in state.average.items()})


def test_a_state_that_got_much_worse_is_not_kept_as_good() -> None:
    state = learned(100)
    assert kept(state, 2.1, 2.3, LOOSE).good is state.good
    assert kept(state, 1.9, 2.3, LOOSE).good is state.average
    assert kept(replace(state, step=101), 0.5, 2.3, LOOSE).well == 1.0


def test_a_network_that_fell_silent_rolls_back_and_one_that_never_spoke_does_not() -> None:
    state = learned(100)
    rolled = kept(state, 2.3, 2.3, LOOSE)
    assert (rolled.rollbacks, rolled.scale) == (1, 0.5)
    assert all(torch.equal(rolled.tensors[k], state.good[k]) for k in state.good)
    assert kept(replace(state, step=101), 2.3, 2.3, LOOSE).rollbacks == 0
    young = kept(replace(state, well=float("inf")), 2.3, 2.3, LOOSE)
    assert young.rollbacks == 0
    assert young.good is state.good


def test_the_rates_grow_back_after_a_rollback_while_all_is_well() -> None:
    state = replace(learned(100), scale=0.5)
    assert kept(state, 0.9, 2.3, LOOSE).scale == pytest.approx(0.55)
    assert kept(replace(state, scale=0.99), 0.9, 2.3, LOOSE).scale == 1.0
    assert kept(state, 2.1, 2.3, LOOSE).scale == 0.5


def test_the_trend_is_a_mean_of_recent_losses() -> None:
    state = kept(kept(learned(1), 2.0, 2.3, LOOSE), 1.0, 2.3, LOOSE)
    assert state.trend == pytest.approx(2.0 - 4 / LOOSE.keep)
    assert kept(state, 1e17, 2.3, LOOSE).trend < 2.0


def test_going_on_from_a_state_is_bit_identical_to_never_stopping() -> None:
    whole, first = after(8), after(3)
    rest = after(5, start=first[-1])
    assert all(torch.equal(whole[-1].tensors[k], rest[-1].tensors[k]) for k in whole[-1].tensors)
    assert all(torch.equal(a, b) for a, b in zip(whole[-1].memory, rest[-1].memory, strict=True))
