"""The experts of a run: read where they are, trained where they are not, and given to its method."""

import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from distill.data.dataset import Dataset
from distill.errors import RunError, UserError
from distill.methods.trajectories.experts import Trajectory, train_expert, unflatten
from distill.methods.trajectories.matching import MTT
from distill.outer import processes
from distill.outer.synthetic import Synthetic
from distill.randomness import stream
from distill.registry import flag
from distill.runs.build import Plan, build_state_drawer
from distill.runs.descent import Schedule
from distill.runs.experts.files import Expert, describe_expert, expert_path, read_expert, write_expert
from distill.runs.measure import Splits
from distill.runs.settings import Settings
from distill.student.evaluation import accuracy
from distill.student.training import Student

TRAINING = ("expert_epochs", "expert_items", "expert_lr", "expert_batch")  # options of experts to be trained
LEAST = 0.25  # of --minutes is for distilling, however long experts take
Say = Callable[[str], object]


class WithExperts(NamedTuple):
    """A plan and a set that know their experts, and the seconds that these took to train."""

    plan: Plan
    synthetic: Synthetic
    seconds: float | None = None


def find_experts(settings: Settings, plan: Plan, train: Dataset) -> list[Expert | None]:
    """The experts of a run that are there already, None in the places of those to be trained; [] without any.

    Nothing is trained or written. Raises UserError where options or files do not go together.
    """
    method = plan.method
    if not isinstance(method, MTT):
        return []
    check_options(settings, method)
    folder = method.experts or (f"{settings.run.resume}/experts" if settings.run.resume else None)
    found = [
        read_number(Path(folder), plan, train, k) if folder else None for k in range(method.expert_count)
    ]
    if method.experts and None in found:
        count = found.index(None)
        advice = f"give --expert-count {count}, or " if count else ""
        raise UserError(
            f"--experts {folder} holds {count} of the {len(found)} experts (there is no"
            f" {expert_path(Path(method.experts), count).name}): {advice}give the folder RUN/experts of a run"
            " with as many"
        )
    return found


def check_options(settings: Settings, method: MTT) -> None:
    """Raise UserError for options that have no effect together."""
    given = [name for name in TRAINING if settings.outer.method_options.get(name) is not None]
    if method.experts and given:
        raise UserError(
            f"{flag(given[0])} has no effect with --experts, whose experts are trained: leave one of them out"
        )
    if method.expert_labels and settings.data.labels != "softmax":
        raise UserError(
            f"--expert-labels are logits, and --labels {settings.data.labels} are none: use --labels softmax"
        )


def read_number(folder: Path, plan: Plan, train: Dataset, number: int) -> Expert | None:
    """The expert of a number, if its file is there. Raises UserError where it is not one of this plan."""
    path, method = expert_path(folder, number), plan.method
    assert isinstance(method, MTT)
    if not path.exists():
        return None
    facts = describe_expert(plan.problem, plan.network, train, method, number)
    return read_expert(path, facts, method.last_epoch)


def add_experts(
    settings: Settings, plan: Plan, synthetic: Synthetic, splits: Splits, found: Sequence[Expert | None],
    folder: Path | None = None, say: Say = lambda _: None,
) -> WithExperts:  # fmt: skip
    """The plan with all its experts; those not found are trained, and written where there is a folder.

    With --expert-labels the set's labels are an expert's. Another method's plan stays as it is.
    """
    method = plan.method
    if not isinstance(method, MTT):
        return WithExperts(plan, synthetic)
    experts = []
    try:
        for number, expert in enumerate(found):
            experts.append(expert or train_number(settings, plan, splits, folder, number, say))
    except KeyboardInterrupt:
        run = f"; go on with --resume {folder.parent}" if folder else ""
        raise RunError(f"stopped while expert {len(experts) + 1} of {len(found)} was trained{run}") from None
    method = replace(method, trajectories=tuple(expert.trajectory for expert in experts))
    plan = replace(plan, method=method)
    if method.expert_labels:
        synthetic = label_by_expert(plan, synthetic, experts[0].trajectory)
    return WithExperts(plan, synthetic, sum(expert.seconds for expert in experts))


def train_number(
    settings: Settings, plan: Plan, splits: Splits, folder: Path | None, number: int, say: Say
) -> Expert:
    """The expert of a number, trained from the run's seed by the first process; the others read its file."""
    method, path = plan.method, folder and expert_path(folder, number)
    assert isinstance(method, MTT)
    if path and processes.rank() > 0:
        processes.broadcast(0)
        expert = read_number(path.parent, plan, splits.train, number)
        assert expert is not None
        return expert
    start = time.perf_counter()
    state = build_state_drawer(settings, plan.problem, plan.initial)(number)
    augment = method.item_augmentation(plan.augment) if plan.augment else None
    generator = stream("expert", settings.run.seed, number)
    weights = train_expert(plan.problem, state, splits.train, method.training, generator, augment)
    seconds = time.perf_counter() - start
    check_learned(weights, number)
    if folder is None:
        return Expert(Trajectory(weights), seconds)
    folder.mkdir(exist_ok=True)
    facts = describe_expert(plan.problem, plan.network, splits.train, method, number)
    expert = write_expert(folder, weights.float(), facts, seconds)
    score = describe_score(plan, weights, splits, method)
    say(f"expert {number + 1} of {method.expert_count}: {score}, {seconds:.1f} s")
    processes.broadcast(0)
    return expert


def check_learned(weights: Tensor, number: int) -> None:
    """Raise UserError where an expert diverged."""
    if not bool(torch.isfinite(weights).all()):
        raise UserError(f"expert {number + 1} diverged: its weights became infinite; lower --expert-lr")


def describe_score(plan: Plan, weights: Tensor, splits: Splits, method: MTT) -> str:
    """'held-out 52.1 % after 20 epochs'."""
    student = Student(plan.problem.network, last_weights(plan, weights))
    return f"held-out {100 * accuracy(student, splits.held_out):.1f} % after {method.expert_epochs} epochs"


def last_weights(plan: Plan, weights: Tensor) -> dict[str, Tensor]:
    """The named weights at the end of a trajectory."""
    parameters = [p for _, p in plan.problem.network.named_parameters()]
    return dict(zip(plan.problem.names, unflatten(weights[-1], parameters), strict=True))


def label_by_expert(plan: Plan, synthetic: Synthetic, expert: Trajectory) -> Synthetic:
    """The set whose labels are a trained expert's logits for its items (Guo et al. 2024)."""
    with torch.no_grad():
        state = plan.problem.start(last_weights(plan, expert.weights))
        logits = plan.problem.logits(state, synthetic.items)
        labels = logits.unflatten(0, (-1, synthetic.label_rows)).mean(dim=0)  # of items that share one
        return synthetic.replace_tensors({**synthetic.tensors(), "labels": labels})


def after_experts(schedule: Schedule, settings: Settings, seconds: float | None) -> Schedule:
    """The schedule of a run of --minutes without the time that its own experts took; a quarter remains."""
    given = settings.outer.method_options.get("experts")
    if schedule.seconds is None or settings.run.minutes is None or given or not seconds:
        return schedule
    return replace(schedule, seconds=max(schedule.seconds - seconds, LEAST * 60 * settings.run.minutes))


def print_line(line: str) -> None:
    """A line of progress on stderr."""
    print(line, file=sys.stderr)
