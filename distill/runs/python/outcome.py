"""What distill() says of its result: the score, and the objects by name."""

from typing import Any

from distill.inner.losses import loss_name
from distill.runs.build import Plan
from distill.runs.measure import Splits
from distill.runs.settings import Settings
from distill.sets.distilled import DistilledSet
from distill.student.evaluation import accuracy
from distill.student.scores import Report
from distill.student.training import initial_weights, replay


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
