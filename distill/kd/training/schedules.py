"""Schedules: how the rates of an optimiser move along a stage, by the schedulers of torch and a warm-up."""

import math
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from distill.errors import unknown
from distill.kd.recipe.parts import RecipeError, SchedulePart
from distill.kd.training import SCHEDULES, Schedule
from distill.kd.training.arguments import check_arguments, list_parameters, refusals_at
from distill.kd.training.ramps import UNITS
from distill.registry import Entry, load
from distill.student.loop import Batch, Loss

REFUSED = {
    "LambdaLR": "takes a function",
    "MultiplicativeLR": "takes a function",
    "SequentialLR": "takes other schedulers",
    "ChainedScheduler": "takes other schedulers",
}
LENGTHS = ("total", "total_steps", "epochs", "steps_per_epoch")  # always those of the stage
HIDDEN = ("optimizer", "optimiser", "last_epoch", "verbose", "scale_fn", "mode", *LENGTHS)  # not of a recipe
MOST_TRIALS = 1000  # steps of a schedule before a stage is trained


class RateSchedule:
    """A scheduler that takes a step every `every` batches, and a warm-up over the first `warmup` of them.

    In batch k < warmup, from 0, the rates are (k + 1) / warmup of what the scheduler says. ReduceLROnPlateau
    is told the mean of the watched loss since its last step.
    """

    def __init__(self, scheduler: LRScheduler, every: int, warmup: int) -> None:
        self.scheduler, self.every, self.warmup, self.batches = scheduler, every, warmup, 0
        self.losses = list[float]()  # since the scheduler's last step
        self.rates = self.read_rates()
        self.write_rates(self.factor())

    def watch(self, loss: Loss) -> Loss:
        """The loss itself where the scheduler reads none, else one that records each of its values."""
        if not isinstance(self.scheduler, ReduceLROnPlateau):
            return loss

        def record_loss(batch: Batch) -> Tensor:
            value = loss(batch)
            self.losses.append(float(value.detach()))
            return value

        return record_loss

    def step(self) -> None:
        """To be called after each batch."""
        self.batches += 1
        if self.batches % self.every == 0:
            self.write_rates(1.0)  # the scheduler reads its own rates
            self.step_scheduler()
            self.rates = self.read_rates()
        self.write_rates(self.factor())

    def step_scheduler(self) -> None:
        """Let the scheduler go on, by the mean loss where it waits for one to stop falling."""
        if isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step(sum(self.losses) / max(1, len(self.losses)))
            self.losses.clear()
        else:
            self.scheduler.step()

    def factor(self) -> float:
        """The share of the scheduler's rates that a batch has."""
        return min(1.0, (self.batches + 1) / self.warmup) if self.warmup else 1.0

    def read_rates(self) -> list[float]:
        """The rates of the optimiser's groups."""
        return [group["lr"] for group in self.scheduler.optimizer.param_groups]

    def write_rates(self, factor: float) -> None:
        """Set them to a factor of the scheduler's."""
        for group, rate in zip(self.scheduler.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = factor * rate

    def state_dict(self) -> dict[str, Any]:
        """What load_state_dict() needs to go on."""
        return {"scheduler": self.scheduler.state_dict(), "batches": self.batches, "rates": self.rates,
                "losses": list(self.losses)}  # fmt: skip

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what state_dict() returned."""
        self.scheduler.load_state_dict(state["scheduler"])
        self.batches, self.rates = state["batches"], state["rates"]
        self.losses = list(state.get("losses", ()))  # older checkpoints have none
        self.write_rates(self.factor())


def stay(optimiser: Optimizer) -> LRScheduler:
    """A scheduler that leaves the rates as they are."""
    return torch.optim.lr_scheduler.LambdaLR(optimiser, lambda _: 1.0)


def build_schedule(
    part: SchedulePart, optimiser: Optimizer, epochs: int, total: int, where: str
) -> RateSchedule:
    """The schedule of rates over so many epochs, of `total` batches together. Raises RecipeError."""
    schedule, each = find_schedule(part.name, where), total // epochs
    if part.by not in (None, *UNITS):
        raise RecipeError(f"{where}.by: " + unknown("unit of time", str(part.by), UNITS))
    if not 0 <= part.warmup <= epochs:
        raise RecipeError(
            f"{where}.warmup must be between 0 and the {epochs} epochs of the stage, not {part.warmup:g}"
        )
    by_epoch = (part.by or schedule.by) == "epoch"
    build, rates = load(Entry(schedule.place, "")), [group["lr"] for group in optimiser.param_groups]
    check_arguments(part.arguments, list_parameters(build, HIDDEN), where, part.name, schedule.filled)
    known = {"steps": epochs if by_epoch else total, "rates": rates}
    arguments = {name: known[word] for name, word in schedule.filled.items()} | part.arguments
    with refusals_at(where, part.name):
        return RateSchedule(build(optimiser, **arguments), each if by_epoch else 1, round(part.warmup * each))


def try_schedule(part: SchedulePart, optimiser: Optimizer, epochs: int, where: str) -> None:
    """Raise RecipeError for a schedule that fails on the way, or whose rates fall below zero."""
    schedule = build_schedule(part, optimiser, epochs, 2 * epochs, where)
    for _ in range(min(2 * epochs, MOST_TRIALS)):
        with refusals_at(where, part.name):
            optimiser.step()
            schedule.step()
        if not all(rate >= 0 and math.isfinite(rate) for rate in schedule.rates):
            raise RecipeError(
                f"{where}: {part.name} makes a rate of {min(schedule.rates):g}: rates are at least 0"
            )


def find_schedule(name: str, where: str) -> Schedule:
    """The schedule of a word of the table, or of a class of torch. Raises RecipeError."""
    classes = list_schedulers()
    words = {schedule.place.split(":")[1]: schedule for schedule in SCHEDULES.values()} | SCHEDULES
    if name in REFUSED:
        raise RecipeError(f"{where}: {name} {REFUSED[name]}: choose another, as cosine or multistep")
    if name not in SCHEDULES and name not in classes:
        raise RecipeError(f"{where}: " + unknown("schedule", name, [*SCHEDULES, *classes]))
    return words.get(name) or Schedule(f"torch.optim.lr_scheduler:{name}", "of torch", "epoch")


def list_schedulers() -> list[str]:
    """The classes of torch.optim.lr_scheduler that a recipe can name."""
    classes = {k: v for k, v in vars(torch.optim.lr_scheduler).items() if isinstance(v, type)}
    schedulers = {name for name, scheduler in classes.items() if issubclass(scheduler, LRScheduler)}
    return sorted(schedulers - {"LRScheduler", "_LRScheduler", *REFUSED})
