"""--dry-run: what a run will take in time and memory, measured by a few of its outer steps."""

import itertools
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from distill.errors import UserError
from distill.outer import processes
from distill.outer.loop import OuterState, descend, initial_state
from distill.outer.synthetic import Synthetic
from distill.report.figures import format_duration
from distill.runs.build import Plan, build_objective
from distill.runs.descent import candidate_scorer
from distill.runs.estimates.measuring import seconds_of
from distill.runs.estimates.schedule import estimate_measuring
from distill.runs.experts.files import Expert
from distill.runs.experts.training import add_experts, print_line
from distill.runs.files.machine import peak_memory, process_seconds
from distill.runs.first_set import SHARE, begins_with_first_set
from distill.runs.measure import Splits
from distill.runs.settings import Settings

LEAST_SECONDS, MOST_STEPS = 2.0, 100  # of outer steps: long enough for an average, short enough to wait for
ENDING = 0.6  # the time for the files at the end, as a share of the start's (1.3 s and 2.4 s on one core)


@dataclass(frozen=True)
class Cost:
    """What a run takes: seconds of its parts, and the most memory that this process held, in MiB."""

    start: float
    step: float
    scoring: float
    measuring: float
    peak_mib: float | None
    outer_steps: int
    scorings: int

    @property
    def distilling(self) -> float:
        """Seconds of the outer loop, the choice of what is exported included."""
        return self.outer_steps * self.step + self.scorings * self.scoring

    @property
    def around(self) -> float:
        """Seconds before and after: imports, reading the data, and writing the files."""
        return self.start * (1 + ENDING)

    @property
    def total(self) -> float:
        """Seconds of the whole run."""
        return self.around + self.distilling + self.measuring


def check_alone(dry_run: bool) -> None:
    """Raise UserError where several processes would look at a run, each for a number of steps of its own."""
    if dry_run and processes.world_size() > 1:
        raise UserError("--dry-run measures one process: start it without torchrun, or leave it out")


def estimate_run(
    settings: Settings, plan: Plan, synthetic: Synthetic, splits: Splits, experts: Sequence[Expert | None]
) -> dict[str, Any]:
    """Measure a few steps, print what the run will take, and the same as the result for --json.

    Raises UserError where the outer steps need experts that are still to be trained.
    """
    start = process_seconds()
    if None in experts:
        raise UserError("--dry-run cannot look at outer steps without their experts: give --experts FOLDER")
    if experts:
        plan, synthetic, _ = add_experts(settings, plan, synthetic, splits, experts, Path(), print_line)
    cost = measure_cost(settings, plan, synthetic, splits, start)
    for line in describe_cost(settings, cost):
        print(line)
    return {
        "seconds_per_step": cost.step, "outer_steps": cost.outer_steps, "seconds": cost.distilling,
        "measuring_seconds": cost.measuring, "around_seconds": cost.around, "total_seconds": cost.total,
        "peak_mib": cost.peak_mib,
    }  # fmt: skip


def measure_cost(settings: Settings, plan: Plan, synthetic: Synthetic, splits: Splits, start: float) -> Cost:
    """The cost of a run of these settings, whose process took so many seconds to get here."""
    step = time_step(plan, synthetic, splits)
    score = candidate_scorer(plan, synthetic, splits.held_out)
    candidates = 1 if plan.method.anytime else 2
    scoring = candidates * seconds_of(lambda: score(synthetic.tensors(), 0))
    measuring = estimate_measuring(settings, plan, synthetic, splits)
    every = settings.measure.validate_every
    steps = count_steps(settings, step + scoring / every, measuring)
    scorings = math.ceil(steps / every) + plan.method.anytime
    return Cost(start, step, scoring, measuring, peak_memory(settings.run.device), steps, scorings)


def time_step(plan: Plan, synthetic: Synthetic, splits: Splits) -> float:
    """Seconds of an outer step of the whole recipe: the mean over whole visits, after one that warms up."""
    state = initial_state(synthetic, plan.outer, plan.method.start_memory())
    state = replace(state, step=next(i for i in itertools.count() if plan.method.merged_steps(i) == 1))
    states = descend(synthetic, build_objective(plan, splits.train), plan.outer, state, lambda step: 0.0)
    visit = getattr(plan.method, "updates", 1)
    take(states, visit)
    start, steps = time.perf_counter(), 0
    while steps < 2 or (time.perf_counter() - start < LEAST_SECONDS and steps < MOST_STEPS):
        take(states, visit)
        steps += visit
    return (time.perf_counter() - start) / steps


def take(states: Iterator[OuterState], count: int) -> None:
    """So many outer steps, to the end of the last."""
    for _ in range(count):
        float(next(states).loss)


def count_steps(settings: Settings, seconds: float, measuring: float) -> int:
    """How many outer steps a run makes, of so many seconds each, scoring included."""
    run, most = settings.run, settings.outer.outer_steps
    if not is_limited(settings):
        return most
    minutes = run.minutes or 0.0
    limit = 60 * run.distil_minutes if run.distil_minutes else max(60 * minutes - measuring, 15 * minutes)
    share = 1 - SHARE if begins_with_first_set(settings) else 1.0
    return min(most, math.ceil(share * limit / seconds))


def is_limited(settings: Settings) -> bool:
    """Whether minutes end the outer loop."""
    return bool(settings.run.minutes or settings.run.distil_minutes)


def describe_cost(settings: Settings, cost: Cost) -> list[str]:
    """What a run will take, line by line."""
    scoring = f", scored {cost.scorings:,} times ({format_duration(cost.scoring)} each)"
    where = "of the GPU " if settings.run.device.startswith("cuda") else ""
    lines = [
        f"an outer step by {settings.outer.method} takes {format_duration(cost.step)}:"
        f" {cost.outer_steps:,} steps{scoring} take {format_duration(cost.distilling)}",
        f"measuring at the end takes about {format_duration(cost.measuring)}",
        f"starting, reading the data and writing the files takes about {format_duration(cost.around)},"
        f" so that the run takes {format_duration(cost.total)}",
    ]
    if begins_with_first_set(settings):
        part = (
            f"takes {SHARE:.0%} of the time before that"
            if is_limited(settings)
            else "is not in these figures"
        )
        lines.append(f"the set by kernel ridge from which it starts {part}")
    if cost.peak_mib is not None:
        lines.append(f"memory {where}so far: {cost.peak_mib:,.0f} MiB")
    return [*lines, "no run was written: leave out --dry-run to begin"]
