"""Schedules of rates: torch's schedulers, step by step, with a warm-up before them."""

import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, Optimizer
from torch.optim import lr_scheduler as torch_s

from distill.kd.recipe.files import parse_value
from distill.kd.recipe.parts import RecipeError, SchedulePart
from distill.kd.training import SCHEDULES
from distill.kd.training.schedules import RateSchedule, build_schedule, list_schedulers, try_schedule
from distill.student.loop import Batch, Loss

EPOCHS, BATCHES = 6, 4  # of the stage; of each epoch
TOTAL = EPOCHS * BATCHES


def build_sgd(lr: float = 0.1) -> Optimizer:
    return SGD([nn.Parameter(torch.ones(2))], lr=lr, momentum=0.9)


def parse(raw: Any) -> SchedulePart:
    return parse_value(SchedulePart, raw, "schedule")


def list_rates(raw: Any, optimiser: Optimizer | None = None) -> list[float]:
    """The rate in each batch of a stage."""
    optimiser = optimiser or build_sgd()
    schedule, rates = build_schedule(parse(raw), optimiser, EPOCHS, TOTAL, "s"), []
    for _ in range(TOTAL):
        rates.append(float(optimiser.param_groups[0]["lr"]))
        optimiser.step()
        schedule.step()
    return rates


def list_torch_s_rates(scheduler: Any, optimiser: Optimizer, every: int) -> list[float]:
    """The rate in each batch with one of torch's schedulers that steps every so many batches."""
    rates = []
    for batch in range(1, TOTAL + 1):
        rates.append(float(optimiser.param_groups[0]["lr"]))
        optimiser.step()
        if batch % every == 0:
            scheduler.step()
    return rates


OF_TORCH: list[tuple[Any, Any, int]] = [
    ("cosine", lambda o: torch_s.CosineAnnealingLR(o, TOTAL), 1),
    ({"name": "cosine", "eta_min": 0.01}, lambda o: torch_s.CosineAnnealingLR(o, TOTAL, 0.01), 1),
    ({"name": "cosine", "by": "epoch"}, lambda o: torch_s.CosineAnnealingLR(o, EPOCHS), BATCHES),
    ({"name": "CosineAnnealingLR", "T_max": 9}, lambda o: torch_s.CosineAnnealingLR(o, 9), 1),
    ({"name": "step", "step_size": 2}, lambda o: torch_s.StepLR(o, 2), BATCHES),
    ({"name": "step", "step_size": 3, "gamma": 0.5, "by": "batch"}, lambda o: torch_s.StepLR(o, 3, 0.5), 1),
    (
        {"name": "multistep", "milestones": [2, 4], "gamma": 0.2},
        lambda o: torch_s.MultiStepLR(o, [2, 4], 0.2),
        BATCHES,
    ),
    ({"name": "exponential", "gamma": 0.9}, lambda o: torch_s.ExponentialLR(o, 0.9), BATCHES),
    ({"name": "polynomial", "power": 2.0}, lambda o: torch_s.PolynomialLR(o, TOTAL, 2.0), 1),
    ("one-cycle", lambda o: torch_s.OneCycleLR(o, 0.1, TOTAL), 1),
    (
        {"name": "one-cycle", "max_lr": 0.5, "pct_start": 0.4, "by": "epoch"},
        lambda o: torch_s.OneCycleLR(o, 0.5, EPOCHS, pct_start=0.4),
        BATCHES,
    ),
    (
        {"name": "CyclicLR", "base_lr": 0.01, "max_lr": 0.1, "step_size_up": 2},
        lambda o: torch_s.CyclicLR(o, 0.01, 0.1, 2),
        BATCHES,
    ),
    (
        {"name": "CosineAnnealingWarmRestarts", "T_0": 2, "T_mult": 2},
        lambda o: torch_s.CosineAnnealingWarmRestarts(o, 2, 2),
        BATCHES,
    ),
    ({"name": "LinearLR", "total_iters": 3}, lambda o: torch_s.LinearLR(o, total_iters=3), BATCHES),
    ({"name": "ConstantLR", "factor": 0.5}, lambda o: torch_s.ConstantLR(o, 0.5), BATCHES),
]


@pytest.mark.parametrize(("raw", "scheduler", "every"), OF_TORCH, ids=[str(case[0]) for case in OF_TORCH])
def test_a_schedule_has_the_rates_of_torch_s_scheduler(raw: Any, scheduler: Any, every: int) -> None:
    optimiser = build_sgd()
    expected = list_torch_s_rates(scheduler(optimiser), optimiser, every)
    assert list_rates(raw) == expected
    assert len(set(expected)) > 1


def test_linear_falls_to_zero_and_constant_stays() -> None:
    assert list_rates("linear") == [0.1 * (1 - k / TOTAL) for k in range(TOTAL)]
    assert list_rates("constant") == [0.1] * TOTAL


def test_one_cycle_moves_the_momentum_the_other_way() -> None:
    optimiser = build_sgd()
    schedule = build_schedule(parse("one-cycle"), optimiser, EPOCHS, TOTAL, "s")
    assert optimiser.param_groups[0]["momentum"] == 0.95
    for _ in range(round(0.3 * TOTAL)):
        optimiser.step()
        schedule.step()
    assert optimiser.param_groups[0]["momentum"] < 0.86


@pytest.mark.parametrize("name", ["linear", "cosine", "constant", {"name": "step", "step_size": 3}])
def test_a_warm_up_multiplies_the_schedule_by_a_straight_line(name: Any) -> None:
    raw = name if isinstance(name, dict) else {"name": name}
    plain, warm = list_rates(raw), list_rates({**raw, "warmup": 2.5})
    line = [min(1.0, (k + 1) / (2.5 * BATCHES)) for k in range(TOTAL)]
    assert warm == pytest.approx([factor * rate for factor, rate in zip(line, plain, strict=True)])
    assert warm[10:] == plain[10:]


ANY = {
    "step": {"step_size": 2}, "multistep": {"milestones": [1, 3]}, "exponential": {"gamma": 0.9},
    "StepLR": {"step_size": 2}, "MultiStepLR": {"milestones": [1, 3]}, "ExponentialLR": {"gamma": 0.9},
    "CyclicLR": {"base_lr": 0.01, "max_lr": 0.1}, "CosineAnnealingWarmRestarts": {"T_0": 2},
}  # fmt: skip


@pytest.mark.parametrize("name", [*SCHEDULES, *list_schedulers()])
def test_a_schedule_goes_on_from_its_state(name: str) -> None:
    """From any batch, also within the warm-up; the state is what a file of plain values holds."""
    raw = {"name": name, "warmup": 2, **ANY.get(name, {})}
    expected = list_rates(raw)
    first, second = build_sgd(), build_sgd()
    schedule = build_schedule(parse(raw), first, EPOCHS, TOTAL, "s")
    for _ in range(7):
        first.step()
        schedule.step()
    state = (first.state_dict(), schedule.state_dict())
    resumed = build_schedule(parse(raw), second, EPOCHS, TOTAL, "s")
    second.load_state_dict(state[0])
    resumed.load_state_dict(state[1])
    rates = []
    for _ in range(7, TOTAL):
        rates.append(second.param_groups[0]["lr"])
        second.step()
        resumed.step()
    assert rates == expected[7:]


PLATEAU = {"name": "ReduceLROnPlateau", "patience": 0, "factor": 0.5}
LOSSES = [*[2.0, 1.0, 2.0, 1.0], *[1.0] * 4, *[3.0, 0.0, 2.0, 1.0], *[1.0] * 4, *[0.9] * 4, *[1.0] * 4]
# means by epoch: 1.5, 1, 1.5 (halves), 1 (halves), 0.9, 1 (after the last batch)
PLATEAU_RATES = [0.1] * 12 + [0.05] * 4 + [0.025] * 8


def build_plateau(optimiser: Optimizer) -> tuple[RateSchedule, Loss]:
    schedule = build_schedule(parse(PLATEAU), optimiser, EPOCHS, TOTAL, "s")
    return schedule, schedule.watch(lambda batch: batch.x)


def run_plateau(optimiser: Optimizer, schedule: RateSchedule, loss: Loss, losses: list[float]) -> list[float]:
    rates = []
    for value in losses:
        rates.append(optimiser.param_groups[0]["lr"])
        loss(Batch(torch.tensor(value), torch.zeros(1), torch.zeros(1), 0.0))
        optimiser.step()
        schedule.step()
    return rates


def test_a_plateau_is_one_of_the_mean_training_loss_of_an_epoch() -> None:
    optimiser = build_sgd()
    rates = run_plateau(optimiser, *build_plateau(optimiser), LOSSES)
    assert rates == pytest.approx(PLATEAU_RATES)


def test_a_plateau_goes_on_in_the_middle_of_an_epoch() -> None:
    first, second = build_sgd(), build_sgd()
    schedule, loss = build_plateau(first)
    run_plateau(first, schedule, loss, LOSSES[:10])
    resumed, loss = build_plateau(second)
    second.load_state_dict(first.state_dict())
    resumed.load_state_dict(schedule.state_dict())
    assert run_plateau(second, resumed, loss, LOSSES[10:]) == pytest.approx(PLATEAU_RATES[10:])


def test_only_a_plateau_watches_the_loss() -> None:
    schedule = build_schedule(parse("cosine"), build_sgd(), EPOCHS, TOTAL, "s")
    assert schedule.watch(never) is never


def never(batch: Batch) -> torch.Tensor:
    raise AssertionError("no batch is needed")


REFUSED: list[tuple[Any, str]] = [
    ("cosin", 's: no schedule called "cosin"; did you mean "cosine"?'),
    ("CosineAnealingLR", 'did you mean "CosineAnnealingLR"?'),
    ("LRScheduler", 's: no schedule called "LRScheduler"'),
    ({"name": "ReduceLROnPlateau", "mode": "max"}, 's: no argument of ReduceLROnPlateau called "mode"'),
    ({"name": "ReduceLROnPlateau", "factor": 2}, "s: ReduceLROnPlateau refuses this: "),
    ("LambdaLR", "s: LambdaLR takes a function: choose another, as cosine or multistep"),
    ("SequentialLR", "s: SequentialLR takes other schedulers: choose another"),
    ("step", "s.step_size is missing: step needs it"),
    ({"name": "step", "step_size": 0}, "s: step refuses this: integer"),
    ({"name": "step", "step_size": "two"}, "s.step_size must be a whole number, not 'two'"),
    ({"name": "step", "step_size": 2.5}, "s.step_size must be a whole number, not 2.5"),
    ({"name": "step", "step_size": 1, "gama": 1}, 'no argument of step called "gama"; did you mean "gamma"?'),
    ({"name": "step", "step_size": 1, "gamma": -0.1}, "s: step makes a rate of -0.01: rates are at least 0"),
    ({"name": "step", "step_size": 1, "gamma": 1e99}, "s: step makes a rate of inf"),
    ({"name": "multistep", "milestones": ["a"]}, "s.milestones must be a list of whole numbers, not ['a']"),
    ({"name": "multistep", "milestones": 3}, "s.milestones must be a list of whole numbers, not 3"),
    ({"name": "cosine", "T_max": 0}, "s: cosine refuses this: "),
    ({"name": "cosine", "eta_min": True}, "s.eta_min must be a number, not True"),
    ({"name": "linear", "total": 3}, 's: no argument of linear called "total"'),
    ({"name": "one-cycle", "total_steps": 3}, 's: no argument of one-cycle called "total_steps"'),
    ({"name": "one-cycle", "anneal_strategy": "coz"}, "s: one-cycle refuses this: "),
    ({"name": "one-cycle", "pct_start": 7}, "s: one-cycle refuses this: "),
    (
        {"name": "CyclicLR", "base_lr": 0.1, "max_lr": 1, "scale_fn": 1},
        'no argument of CyclicLR called "scale_fn"',
    ),
    ({"name": "cosine", "by": "epochs"}, 's.by: no unit of time called "epochs"; did you mean "epoch"?'),
    ({"name": "cosine", "warmup": 7}, "s.warmup must be between 0 and the 6 epochs of the stage, not 7"),
    ({"name": "cosine", "warmup": -1}, "s.warmup must be between 0 and the 6 epochs of the stage, not -1"),
]


@pytest.mark.parametrize(("raw", "sentence"), REFUSED, ids=[str(raw) for raw, _ in REFUSED])
def test_a_schedule_that_cannot_be_is_refused_in_one_sentence(raw: Any, sentence: str) -> None:
    with pytest.raises(RecipeError) as error:
        try_schedule(parse(raw), build_sgd(), EPOCHS, "s")
    assert sentence in str(error.value)
    assert "\n" not in str(error.value)


def test_one_cycle_needs_a_momentum_to_move() -> None:
    weight = nn.Parameter(torch.ones(2))
    with pytest.raises(RecipeError, match="s: one-cycle refuses this: optimizer must support momentum"):
        try_schedule(parse("one-cycle"), torch.optim.Adagrad([weight], lr=0.1), EPOCHS, "s")
    try_schedule(
        parse({"name": "one-cycle", "cycle_momentum": False}),
        torch.optim.Adagrad([weight], lr=0.1),
        EPOCHS,
        "s",
    )


def test_the_table_says_what_each_schedule_is() -> None:
    assert all(schedule.by in ("epoch", "batch") for schedule in SCHEDULES.values())
    rates = list_rates("cosine")
    assert rates[TOTAL // 2] == pytest.approx(0.1 * (1 + math.cos(math.pi / 2)) / 2)
