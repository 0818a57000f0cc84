"""What distill() returns: the set that did best, its score, and the objects by name."""

from dataclasses import replace
from typing import Any

from distill.inner.losses import loss_name
from distill.outer import processes
from distill.outer.synthetic import Synthetic
from distill.runs.build import Plan, build_set
from distill.runs.descent import Schedule, Snapshot, run_outer_loop, start_snapshot
from distill.runs.experts.training import add_experts, after_experts, find_experts
from distill.runs.files.progress import Progress
from distill.runs.first_set import begins_with_first_set, check_first_set, distil_first_set, go_on_from
from distill.runs.measure import Splits
from distill.runs.result import check_exportable, describe_run
from distill.runs.settings import Settings
from distill.sets.distilled import DistilledSet
from distill.student.evaluation import accuracy
from distill.student.scores import Report
from distill.student.training import initial_weights, replay


def run(plan: Plan, settings: Settings, splits: Splits, synthetic: Synthetic, progress: bool) -> DistilledSet:
    """The outer loop to its end, and the set that did best on held-out items, scored."""
    processes.check_count(len(splits.train), "items")
    minutes = settings.run.minutes
    seconds = 60 * minutes if minutes else None
    schedule = Schedule(settings.outer.outer_steps, settings.measure.validate_every, seconds)
    check_first_set(settings, plan.problem)
    experts, expert_seconds = find_experts(settings, plan, splits.train), None
    start = start_snapshot(plan, synthetic)
    check_exportable(plan, synthetic, splits.train, describe_run(settings, ["distill.distill"], start))

    def loop(_: Settings, plan: Plan, synthetic: Synthetic, schedule: Schedule) -> Snapshot:
        return run_with_bar(plan, splits, synthetic, schedule, start_snapshot(plan, synthetic), progress)

    if begins_with_first_set(settings):
        first = distil_first_set(settings, plan, splits.train, schedule, loop)
        synthetic = go_on_from(settings, plan.problem, plan.method, splits.train, first)
        start = start_snapshot(plan, synthetic, first.provenance["seconds"])
    if experts:
        plan, synthetic, expert_seconds = add_experts(settings, plan, synthetic, splits, experts)
        schedule = after_experts(schedule, settings, expert_seconds)
        start = start_snapshot(plan, synthetic, start.seconds)
    last = run_with_bar(plan, splits, synthetic, schedule, start, progress)
    data = build_set(plan, plan.learned(synthetic, last.best.tensors, last.best.step))
    return replace(
        data,
        text=splits.train.text_metadata(data.items),
        scores={"accuracy": score(plan, settings, data, splits)},
        provenance={
            **describe_run(settings, ["distill.distill"], last, None, expert_seconds),
            "objects": describe_objects(plan),
        },
    )


def run_with_bar(
    plan: Plan, splits: Splits, synthetic: Synthetic, schedule: Schedule, start: Snapshot, progress: bool
) -> Snapshot:
    """The outer loop to its end, with a bar on a terminal if there is to be progress."""
    last, bar = start, Progress(schedule, 0) if progress and processes.rank() == 0 else None
    try:
        for last, record in run_outer_loop(plan, synthetic, splits, start, schedule):
            if bar:
                bar.show(record, last.state.rollbacks)
    finally:
        if bar:
            bar.close()
    return last


def score(plan: Plan, settings: Settings, data: DistilledSet, splits: Splits) -> dict[str, Any]:
    """Mean and std of accuracy, and on what: from the fixed weights, or over networks never seen."""
    weights = initial_weights(
        data, plan.problem.network, settings.network.init, settings.measure.test_networks
    )
    students = (replay(data, plan.problem, w) for w in weights)
    summary = Report("set", tuple(accuracy(student, splits.test) for student in students)).summary()
    split = "held-out" if splits.test is splits.held_out else "test"
    return {**summary, "split": split, "weights": "fixed" if plan.initial.exported else "held-out"}


def describe_objects(plan: Plan) -> dict[str, str]:
    """The objects by name, for who reads how a set came to be."""
    objects = {"method": plan.method, "rule": plan.problem.rule}
    if plan.method.unrolls:
        objects["engine"] = getattr(plan.method, "engine", None)
    return {name: repr(value) for name, value in objects.items()} | {
        "loss": loss_name(plan.problem.outer_loss)
    }
