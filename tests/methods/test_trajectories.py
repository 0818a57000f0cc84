"""Trajectory matching: laws of the loss, exact gradients in constant memory, experts as torch trains them."""

import math
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from typing import Any

import pytest
import torch
from torch import Tensor

from distill.data.augment.batch import build_augmentation
from distill.data.dataset import Dataset
from distill.errors import UserError
from distill.inner.problem import Problem, Task
from distill.inner.rules import SGD
from distill.methods.trajectories import gradient as gradients
from distill.methods.trajectories.experts import (
    ExpertTraining,
    Trajectory,
    compute_checksum,
    draw_epochs,
    flatten,
    train_expert,
)
from distill.methods.trajectories.matching import MTT, squared_distance
from distill.outer.loop import OuterOptimizer, descend, initial_state
from distill.outer.starts import start_lrs
from distill.outer.synthetic import Synthetic, cyclic_schedule
from distill.randomness import stream
from tests.helpers import CLASSES, SHAPE, small_problem, small_weights, waves

EPOCHS, STEPS = 4, 3


def make_synthetic(batch: int = CLASSES, per_tensor: bool = False) -> Synthetic:
    tensors = len(small_problem().names) if per_tensor else None
    lrs = start_lrs(0.1, 4, tensors).double() + 0.1 * waves(4, *([tensors] if tensors else []))
    n = 2 * CLASSES if batch > CLASSES else CLASSES
    return Synthetic(waves(n, *SHAPE), waves(n, CLASSES), lrs, cyclic_schedule(n, batch, 4), "softmax")


def make_experts(problem: Problem, count: int = 2) -> tuple[Trajectory, ...]:
    """Experts on 24 items, of four epochs."""
    data = Dataset(
        "waves", waves(24, *SHAPE, phase=9), torch.arange(24) % CLASSES, tuple("abc"), (0.0,), (1.0,)
    )
    training = ExpertTraining(EPOCHS, 0.2, 8)
    states = [problem.start(small_weights(problem, k)) for k in range(count)]
    draws = [train_expert(problem, s, data, training, stream("expert", k)) for k, s in enumerate(states)]
    return tuple(Trajectory(weights, compute_checksum(weights, {})) for weights in draws)


def make_method(**changes: Any) -> MTT:
    values = {"expert_epochs": EPOCHS, "match_epochs": 1, "syn_steps": STEPS} | changes
    return MTT(**{"trajectories": make_experts(small_problem()), **values})


def draw_tasks(step: int) -> list[Task]:
    return [Task((), waves(1), torch.zeros(1).long(), stream("task", step))]


def train_by_torch(data: Synthetic, start: Tensor, steps: int) -> Tensor:
    """All weights after so many steps of torch.optim's SGD on the whole set, at the mean of its rates."""
    module = small_problem().network
    torch.nn.utils.vector_to_parameters(start.clone(), module.parameters())
    optimizer = torch.optim.SGD(module.parameters(), float(data.lrs().mean()))
    for _ in range(steps):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(module(data.items), data.targets()).backward()
        optimizer.step()
    return torch.nn.utils.parameters_to_vector(module.parameters()).detach()


@pytest.mark.parametrize("constant_memory", [False, True])
def test_the_loss_is_zero_where_the_experts_weights_are_those_that_the_set_reaches(
    constant_memory: bool,
) -> None:
    data, start = make_synthetic(), make_experts(small_problem())[0].weights[0]
    reached = Trajectory(torch.stack([start, train_by_torch(data, start, STEPS)]))
    method = make_method(trajectories=(reached,), constant_memory=constant_memory)
    result = method.objective(small_problem(), draw_tasks)(data, 0)
    assert float(result.loss) < 1e-24
    assert all(float(g.abs().max()) < 1e-10 for g in result.gradients.values())


def test_the_loss_is_one_where_the_student_stays_and_that_of_a_network_that_torch_trained_else() -> None:
    data, (expert, *_) = make_synthetic(), make_experts(small_problem())
    pair = Trajectory(expert.weights[:2])
    still = data.replace_tensors({"lrs": torch.full((4,), -80.0, dtype=torch.float64)})
    objective = make_method(trajectories=(pair,)).objective(small_problem(), draw_tasks)
    torch.testing.assert_close(objective(still, 0).loss, torch.ones((), dtype=torch.float64))
    trained = train_by_torch(data, pair.weights[0], STEPS)
    expected = squared_distance([trained], [pair.weights[1]]) / squared_distance(
        [pair.weights[0]], [pair.weights[1]]
    )
    torch.testing.assert_close(objective(data, 0).loss, expected)


@pytest.mark.parametrize("constant_memory", [False, True])
@pytest.mark.parametrize("augment", ["", "shift-scale-rotate"])
@pytest.mark.parametrize("name", ["items", "labels", "lrs"])
def test_every_gradient_agrees_with_finite_differences(
    name: str, augment: str, constant_memory: bool
) -> None:
    method, data = make_method(constant_memory=constant_memory), make_synthetic(per_tensor=name == "lrs")
    objective = method.objective(small_problem(), draw_tasks, build_augmentation(augment))
    tensor = data.tensors()[name]
    direction = torch.cos(torch.arange(tensor.numel()).double()).reshape(tensor.shape)
    above, below = (
        objective(data.replace_tensors({name: tensor + sign * 1e-5 * direction}), 0).loss for sign in (1, -1)
    )
    slope = (objective(data, 0).gradients[name] * direction).sum()
    torch.testing.assert_close(slope, (above - below) / 2e-5, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize(("steps", "kept"), [(1, 128), (STEPS, 128), (8, 4), (11, 3)])
@pytest.mark.parametrize("batch", [CLASSES, 2])
def test_the_gradient_in_constant_memory_is_that_of_full_back_propagation(
    steps: int, kept: int, batch: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gradients, "KEPT", kept)
    data = replace(make_synthetic(), schedule=torch.arange(batch).repeat(4, 1))
    augment = build_augmentation("shift-scale")
    full, by_step = (
        make_method(syn_steps=steps, constant_memory=memory).objective(small_problem(), draw_tasks, augment)(
            data, 5
        )
        for memory in (False, True)
    )
    torch.testing.assert_close(by_step.loss, full.loss, rtol=1e-12, atol=0)
    assert full.gradients.keys() == by_step.gradients.keys()
    for name, gradient in full.gradients.items():
        torch.testing.assert_close(by_step.gradients[name], gradient, rtol=1e-9, atol=1e-13)


def peak_of_saved_tensors(function: Callable[[], object]) -> int:
    """The most bytes that graphs held at once for their backward passes."""
    held = peak = 0

    class Saved:
        def __init__(self, tensor: Tensor) -> None:
            nonlocal held, peak
            self.tensor, self.size = tensor, tensor.numel() * tensor.element_size()
            held += self.size
            peak = max(peak, held)

        def __del__(self) -> None:
            nonlocal held
            held -= self.size

    with torch.autograd.graph.saved_tensors_hooks(Saved, lambda saved: saved.tensor):
        function()
    return peak


def test_twice_the_steps_take_a_tenth_more_memory_at_most_and_without_the_option_twice_as_much() -> None:
    data, augment = make_synthetic(), build_augmentation("shift-scale")
    peaks = {
        (memory, steps): peak_of_saved_tensors(
            lambda m=memory, n=steps: make_method(syn_steps=n, constant_memory=m).objective(
                small_problem(), draw_tasks, augment
            )(data, 0)
        )
        for memory in (False, True) for steps in (8, 16)
    }  # fmt: skip
    weights = sum(p.numel() * 8 for p in small_problem().network.parameters())
    assert peaks[True, 16] + 16 * weights <= 1.1 * (peaks[True, 8] + 8 * weights)
    assert peaks[False, 16] > 1.8 * peaks[False, 8] > 3 * peaks[True, 8]


def test_a_student_takes_all_items_in_random_batches_before_one_comes_again() -> None:
    data = replace(make_synthetic(2 * CLASSES), schedule=cyclic_schedule(6, 2, 4))
    seen = []

    def augment(x: Tensor, generator: torch.Generator) -> Tensor:
        seen.append(x.detach())
        return x

    make_method(syn_steps=6).objective(small_problem(), draw_tasks, augment)(data, 0)
    for half in (seen[:3], seen[3:]):
        rows = [int((data.items == x).flatten(1).all(dim=1).nonzero()) for batch in half for x in batch]
        assert sorted(rows) == list(range(6))


# Segments


def list_starts(method: MTT, step: int = 0) -> set[int]:
    """The epochs at which students start."""
    weights = torch.arange(8.0)[:, None]
    segments = [method.draw_segment([Trajectory(weights)], step, stream("t", k)) for k in range(200)]
    assert all(float(target - start) == method.match_epochs for start, target in segments)
    return {int(start) for start, _ in segments}


def test_starts_are_drawn_between_the_first_and_the_last_epoch() -> None:
    def method(**options: Any) -> MTT:
        return MTT(match_epochs=2, expert_epochs=7, **options)

    assert list_starts(method()) == {0, 1, 2, 3, 4, 5}
    assert list_starts(method(min_start_epoch=1, max_start_epoch=3)) == {1, 2, 3}
    assert max(list_starts(MTT(match_epochs=1))) == 5  # of 6
    assert list_starts(MTT(match_epochs=1, min_start_epoch=6)) == {6}
    assert max(list_starts(MTT(match_epochs=1, expansion_steps=10), 10)) == 6
    assert max(list_starts(MTT(match_epochs=1, max_start_epoch=6))) == 6
    growing = method(min_start_epoch=1, max_start_epoch=5, expansion_steps=100)
    assert [max(list_starts(growing, step)) for step in (0, 24, 25, 50, 100, 1000)] == [1, 1, 2, 3, 5, 5]


IMPOSSIBLE = {
    "--min-start-epoch 5 is above --max-start-epoch 3": {"min_start_epoch": 5, "max_start_epoch": 3},
    "--expert-epochs 4 is below 5, the last start epoch and --match-epochs together": {
        "expert_epochs": 4, "max_start_epoch": 3, "match_epochs": 2,
    },
    "syn_steps must be above 0, not 0": {"syn_steps": 0},
    "match_epochs must be above 0": {"match_epochs": 0},
    "expert_lr must be a finite number, not inf": {"expert_lr": math.inf},
}  # fmt: skip


@pytest.mark.parametrize("sentence", IMPOSSIBLE)
def test_options_that_cannot_be_are_refused(sentence: str) -> None:
    with pytest.raises(UserError, match=sentence):
        MTT(**IMPOSSIBLE[sentence])  # type: ignore[arg-type]


# Experts


def test_an_expert_is_a_network_that_torch_trains_epoch_by_epoch() -> None:
    x, y = waves(10, *SHAPE), torch.arange(10) % CLASSES
    data, problem = Dataset("waves", x, y, tuple("abc"), (0.0,), (1.0,)), small_problem()
    start = problem.start(small_weights(problem))
    weights = train_expert(problem, start, data, ExpertTraining(2, 0.1, 4), stream("e"))
    module = small_problem().network
    module.load_state_dict(small_weights(problem))
    optimizer, generator = torch.optim.SGD(module.parameters(), 0.1), stream("e")
    for epoch in range(2):
        torch.testing.assert_close(
            weights[epoch], torch.nn.utils.parameters_to_vector(module.parameters()).detach()
        )
        for rows in torch.randperm(10, generator=generator).split(4):
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(module(x[rows].float().double()), y[rows]).backward()
            optimizer.step()


def test_an_expert_with_momentum_in_its_recipe_is_trained_by_plain_steps() -> None:
    x, y = waves(8, *SHAPE), torch.arange(8) % CLASSES
    data = Dataset("waves", x, y, tuple("abc"), (0.0,), (1.0,))
    plain, momentum = (
        train_expert(p, p.start(small_weights(p)), data, ExpertTraining(2, 0.1, 4), stream("e"))
        for p in (small_problem(), small_problem(SGD(0.9)))
    )
    assert torch.equal(plain, momentum)
    assert plain.shape[1] == flatten(small_problem(), tuple(small_problem().network.parameters())).numel()


def test_epochs_of_a_part_go_on_where_the_last_one_ended() -> None:
    epochs = list(islice(draw_epochs(6, 4, stream("e")), 3))
    assert [len(rows) for rows in epochs] == [4, 4, 4]
    rows = torch.cat(epochs)
    assert sorted(rows[:6].tolist()) == sorted(rows[6:].tolist()) == list(range(6))
    assert next(draw_epochs(2, 5, stream("e"))).shape == (5,)


def test_a_checksum_changes_with_any_weight_and_any_fact() -> None:
    weights = waves(2, 5).float()
    changed = weights.clone()
    changed[1, 4] += 1e-6
    sums = [
        compute_checksum(weights, {"a": 1}),
        compute_checksum(changed, {"a": 1}),
        compute_checksum(weights, {"a": 2}),
    ]
    assert len(set(sums)) == 3
    assert compute_checksum(weights.clone(), {"a": 1}) == sums[0]


# The outer loop


@pytest.mark.parametrize("constant_memory", [False, True])
def test_descending_lowers_the_loss_and_goes_on_bit_by_bit(constant_memory: bool) -> None:
    outer = OuterOptimizer(
        lr={"items": 0.02, "labels": 0.02, "lrs": 0.02},
        clip_norm=math.inf,
        beta1=0.9,
        relative_clip=2.0,
        warmup=1,
    )
    method, data = make_method(constant_memory=constant_memory, expansion_steps=20), make_synthetic()
    objective = method.objective(small_problem(), draw_tasks, build_augmentation("shift"))
    start = initial_state(data, outer, method.start_memory())
    states = list(islice(descend(data, objective, outer, start, lambda _: 0.0), 40))
    first, last = (
        sum(float(objective(data.replace_tensors(tensors), step).loss) for step in range(100, 110))
        for tensors in (data.tensors(), states[-1].average)
    )
    assert last < 0.8 * first
    again = list(islice(descend(data, objective, outer, states[19], lambda _: 0.0), 20))[-1]
    assert all(torch.equal(t, again.tensors[name]) for name, t in states[-1].tensors.items())
    assert torch.equal(again.method_memory["expert_checksums"], method.start_memory()["expert_checksums"])


def test_the_learned_rate_stays_the_same_in_all_steps() -> None:
    lrs = start_lrs(0.02, 5, None).double()
    data = replace(make_synthetic(), raw_lrs=lrs, schedule=cyclic_schedule(CLASSES, CLASSES, 5))
    gradient = make_method().objective(small_problem(), draw_tasks)(data, 0).gradients["lrs"]
    assert bool(gradient.any())
    torch.testing.assert_close(gradient, gradient[:1].expand(5))
