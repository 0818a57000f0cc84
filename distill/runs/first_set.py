"""--start frepo: kernel ridge regression distils a set in the first part of a run, which goes on from it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from distill.data.dataset import Dataset
from distill.errors import UserError
from distill.inner import INNER_LOSSES, RULES
from distill.inner.losses import loss_name
from distill.inner.problem import Problem
from distill.methods.base import Method
from distill.outer import processes
from distill.outer.synthetic import Synthetic
from distill.registry import find
from distill.runs.build import Plan, assemble_plan, build_method, build_set
from distill.runs.descent import Schedule, Snapshot
from distill.runs.resolve import change, resolve
from distill.runs.result import describe_run
from distill.runs.settings import Settings
from distill.runs.settings.situation import SQUARED, is_timed
from distill.runs.starts.continuation import SOFT
from distill.runs.starts.synthetic import build_synthetic
from distill.sets.distilled import DistilledSet

S = TypeVar("S", bound=Settings)
Loop = Callable[[Settings, Plan, Synthetic, Schedule], Snapshot]  # runs an outer loop to its end

FREPO = "frepo"  # the start, and the method that distils it
SHARE = 0.15  # of a run's time: two of fourteen minutes
UPDATES = 2  # for each outer step of the run, which takes as long as twenty of them
POOL_OPTIONS = ("networks", "pool_width")  # that both methods have


def begins_with_first_set(settings: Settings) -> bool:
    """Whether a run distils its own start."""
    return settings.outer.start == FREPO


def check_first_set(settings: Settings, problem: Problem) -> None:
    """Raise UserError where a run cannot go on from what kernel ridge regression distils."""
    if not begins_with_first_set(settings):
        return
    if settings.outer.method == FREPO:
        raise UserError("--start frepo is for other methods than --method frepo: use --start means")
    loss, labels = loss_name(problem.inner_loss), settings.data.labels
    if (loss, labels) not in ((SQUARED, "soft"), (SOFT, "softmax")):
        raise UserError(
            f"--start frepo distils labels of a regression, from which --labels {labels} with the inner loss"
            f" {loss} cannot go on: use --start means"
        )


def distil_first_set(
    settings: Settings, plan: Plan, train: Dataset, schedule: Schedule, loop: Loop
) -> DistilledSet:
    """The set of kernel ridge regression for the networks of a plan; its provenance holds the seconds."""
    first = first_settings(settings)
    first_plan = plan_first_set(first, plan, train)
    synthetic = build_synthetic(first, first_plan.problem, first_plan.method, train)
    seconds = SHARE * schedule.seconds if schedule.seconds else None
    times = Schedule(first.outer.outer_steps, first.measure.validate_every, seconds)
    last = loop(first, first_plan, synthetic, times)
    data = build_set(first_plan, first_plan.learned(synthetic, last.best.tensors, last.best.step))
    return replace(
        data, text=train.text_metadata(data.items), provenance=describe_run(first, [f"--start {FREPO}"], last)
    )


def load_first_set(
    file: Path, settings: Settings, plan: Plan, train: Dataset, schedule: Schedule, loop: Loop
) -> DistilledSet:
    """The first set of a file: where it is not there yet, it is distilled and saved."""
    if processes.broadcast(float(file.is_file())):
        return DistilledSet.load(file)
    first = distil_first_set(settings, plan, train, schedule, loop)
    if processes.rank() == 0:
        first.save(file)
    return first


def first_settings(settings: S) -> S:
    """The settings by which the first set is distilled: those of the run for data, networks and time."""
    inner: Any = type(settings.inner)(checkpoint_blocks=settings.inner.checkpoint_blocks)
    outer: Any = type(settings.outer)()
    outer = replace(
        outer,
        method=FREPO,
        method_options=first_options(settings.outer.method_options),
        start="means",
        fixed_items=settings.outer.fixed_items,
        parametrisation=settings.outer.parametrisation,
        parametrisation_options=settings.outer.parametrisation_options,
        networks_per_step=settings.outer.networks_per_step,
        outer_steps=count_updates(settings),
        autocast=settings.outer.autocast,
    )
    run = replace(settings.run, given=frozenset())
    settings = change(replace(settings, inner=inner, outer=outer, run=run), "data", labels=None)
    return resolve(change(settings, "measure", validate_every=None))


def first_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of the first set's method: networks of many families gain by changed items."""
    names = (*POOL_OPTIONS, "pool_augment") if options.get("networks") else POOL_OPTIONS
    return {name: options[name] for name in names if options.get(name)}


def count_updates(settings: Settings) -> int | None:
    """The outer steps of the first set; None where time alone limits the run."""
    return None if is_timed(settings.run) else UPDATES * settings.outer.outer_steps


def plan_first_set(first: Settings, plan: Plan, train: Dataset) -> Plan:
    """The plan for the first set: the network and initial weights of another plan, another method."""
    rule = find(RULES, "rule", first.inner.rule)()
    problem = replace(plan.problem, rule=rule, inner_loss=find(INNER_LOSSES, "inner loss", SQUARED))
    method = build_method(first, problem, train)
    network = {k: plan.network[k] for k in ("name", "arguments")}
    return assemble_plan(first, problem, method, plan.initial, network, plan.source)


def go_on_from(
    settings: Settings, problem: Problem, method: Method, train: Dataset, first: DistilledSet
) -> Synthetic:
    """The synthetic set of a run as its first set ended."""
    return build_synthetic(change(settings, "outer", start="start/set.pt"), problem, method, train, first)
