"""When the outer loop of a run ends, whose time is limited: what measuring its set takes is left for that."""

import sys

from distill.outer import processes
from distill.outer.synthetic import Synthetic
from distill.runs.build import Plan, build_set
from distill.runs.descent import Schedule
from distill.runs.estimates.measuring import estimate_seconds
from distill.runs.measure import Splits
from distill.runs.settings import Settings


def plan_schedule(settings: Settings, plan: Plan, synthetic: Synthetic, splits: Splits) -> Schedule:
    """When the outer loop ends: --minutes less the seconds that measuring takes, but at least a quarter."""
    steps, every, run = settings.outer.outer_steps, settings.measure.validate_every, settings.run
    if run.minutes is None:
        return Schedule(steps, every, 60 * run.distil_minutes if run.distil_minutes else None)
    seconds = 60 * run.minutes
    estimate = processes.broadcast(estimate_measuring(settings, plan, synthetic, splits))
    if processes.rank() == 0:
        advice = advise(estimate, seconds)
        print(f"measuring will take about {estimate:.0f} of the {seconds:.0f} s{advice}", file=sys.stderr)
    return Schedule(steps, every, max(seconds - estimate, seconds / 4))


def estimate_measuring(settings: Settings, plan: Plan, synthetic: Synthetic, splits: Splits) -> float:
    """About how many seconds measuring the set of a run takes."""
    data, pretrained = build_set(plan, synthetic), settings.network.weights is not None
    return estimate_seconds(settings.measure, data, plan.problem, splits, pretrained=pretrained)


def advise(estimate: float, seconds: float) -> str:
    """What to do where measuring takes most of --minutes."""
    if estimate < 0.75 * seconds:
        return ""
    options = "--full-data-networks, --dc-networks, --baseline-networks or --distil-minutes"
    return f": the run will take longer; {options} bound it"
