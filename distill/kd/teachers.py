"""Teachers of a distilled set: students with a teacher's share in their loss, and sets with its labels."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from distill.data.classes import match_classes
from distill.data.dataset import Dataset
from distill.errors import NetworkError, UserError, cut, is_memory_error, python_names, quote
from distill.inner.dry_run import are_probabilities
from distill.inner.problem import Problem
from distill.kd.losses import KD_LOSSES, LOGIT_LOSSES, evaluate_loss
from distill.kd.network_files import read_architecture, read_classes
from distill.kd.networks import create_network, load_checkpoint
from distill.networks import NETWORKS
from distill.networks.resolve import plain_torch
from distill.randomness import seed_torch, stream
from distill.registry import RATE, check_options, option, python_name
from distill.sets.distilled import DistilledSet
from distill.sets.metadata import describe_shape
from distill.sets.plain_types import plain_value
from distill.sets.real_data import load_if_path
from distill.student.evaluation import as_student, replay_accuracies, report_students
from distill.student.protocols import Start, train_students
from distill.student.scores import Report
from distill.student.teacher_accuracy import check_accuracy
from distill.student.training import Student, Weights, assemble_problem, replay
from distill.student.views.labels import label_views
from distill.student.views.settings import ViewOptions

Splits = tuple[Dataset, Dataset]  # train and test


@dataclass(frozen=True)
class WithTeacher:
    """A protocol: the set's recipe with the loss (1 - share) · the set's labels + share · the teacher's.

    Raises UserError for a loss that is not one of LOGIT_LOSSES, or a number that no loss can have.
    """

    teacher: Student
    loss: str = option("hinton", choices=LOGIT_LOSSES)
    tau: float = option(4.0, **RATE)
    share: float = option(0.9, at_least=0, at_most=1)

    def __post_init__(self) -> None:
        check_teacher(self.teacher)
        check_options(self, python_name)

    def train(
        self, data: DistilledSet, network: nn.Module, weights: Weights, generator: torch.Generator
    ) -> Student:
        """A student by the set's own steps; it draws nothing from the generator."""
        problem = self.share_loss(assemble_problem(data, network))
        return replay(append_logits(data, self.teacher), problem, weights)

    def share_loss(self, problem: Problem) -> Problem:
        """The problem with the shared loss, for the labels of append_logits()."""

        def shared_loss(logits: Tensor, y: Tensor) -> Tensor:
            labels, teacher_logits = y.chunk(2, dim=1)
            inputs = {"student": logits, "teacher": teacher_logits, "labels": labels, "tau": self.tau}
            teacher_loss = evaluate_loss(KD_LOSSES[self.loss], inputs)
            return (1 - self.share) * problem.inner_loss(logits, labels) + self.share * teacher_loss

        return replace(problem, inner_loss=shared_loss)


@dataclass(frozen=True)
class Temperature:
    """The temperature by which a teacher's logits are divided."""

    tau: float = option(1.0, **RATE)


def check_teacher(teacher: Any) -> None:
    """Raise UserError where a teacher is no Student."""
    if not isinstance(teacher, Student):
        raise UserError(f"teacher is {quote(teacher)}: give a Student, as load_teacher() or train() returns")


def append_logits(data: DistilledSet, teacher: Student) -> DistilledSet:
    """The set whose labels (n, 2 · classes) are its own, then the teacher's logits."""
    names = [*data.source["classes"], *(f"{name}, teacher" for name in data.source["classes"])]
    labels = torch.cat([data.labels, as_student(teacher, data.items).logits(data.items)], dim=1)
    return replace(data, labels=labels, source={**data.source, "classes": names})


def build_with_teacher(options: Any, data: DistilledSet, train: Dataset) -> WithTeacher:
    """The protocol of the options of `distill student`: the set and a teacher from its file.

    Raises UserError.
    """
    teacher = load_teacher(options.teacher, data, options.teacher_network, train)
    return WithTeacher(teacher, options.kd, options.tau, options.share)


def report_teacher(
    protocol: WithTeacher, path: str | None, data: DistilledSet, start: Start, test: Dataset
) -> Report:
    """The test accuracies of students that a set and the teacher of this file train."""
    return report_students(f"- with the teacher {path}", train_students(protocol, data, start), test)


def load_teacher(
    path: str, data: DistilledSet, name: str | None = None, train: Dataset | None = None
) -> Student:
    """A trained network for a set's items and classes, from a file. Raises UserError.

    Its architecture is what the file says, else the one of this name, else the set's own. train: real items
    on which it is measured, if there are any.
    """
    set_architecture = {"name": data.network["name"], **data.network.get("arguments", {})}
    architecture = {
        "subclasses": 1,
        **(read_architecture(path) or ({"name": name} if name else set_architecture)),
    }
    if architecture["name"] == data.network["name"] not in NETWORKS:
        raise NetworkError(
            f'{path} holds weights alone, and the set\'s network, "{cut(architecture["name"])}", is your own:'
            " load the file into your module and give that as the teacher in Python; a teacher of another"
            " network is named by `--teacher-network`"
        )
    shape, classes = tuple(data.items.shape[1:]), data.labels.shape[1]
    network = create_network("teacher", architecture, shape, classes, (0, 0), str(data.items.device))
    load_checkpoint(network, path)
    teacher = order_classes(network.student, path, data)
    if train is not None:
        check_accuracy(teacher, train, path)
    return teacher


class Reordered(nn.Module):
    """A network with its logits in another order."""

    def __init__(self, network: nn.Module, places: list[int]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("places", torch.tensor(places))

    def forward(self, x: Tensor) -> Tensor:
        return self.network(x)[:, self.places]


def order_classes(teacher: Student, path: str, data: DistilledSet) -> Student:
    """A teacher with the set's classes in their order, where its file names its own. Raises DataError."""
    classes = read_classes(path)
    places = match_classes(data.source["classes"], classes, "the set", path) if classes else []
    if places == sorted(places):
        return teacher
    return Student(Reordered(teacher.network, places)).to(data.items.device).requires_grad_(False)


OF_LABELS = ("accuracy", "protocols")  # scores that hold for a set's own labels


@python_names()
@plain_torch()
def relabel(
    data: DistilledSet | str | os.PathLike[str],
    teacher: nn.Module | str | os.PathLike[str],
    tau: float = 1.0,
) -> DistilledSet:
    """The set with labels softmax(teacher(items) / tau), without the scores of its old labels.

    A set for squared error gets them centred and as spread as its old ones.

    data: the set, or the path of its file. teacher: a Student or another trained module, or the path of its
    weights. Raises UserError.
    """
    data, tau = load_if_path(data), plain_value(tau)
    check_options(Temperature(tau), python_name)
    logits = compute_teacher_logits(data, read_teacher(teacher, data))
    scores = {name: score for name, score in data.scores.items() if name not in OF_LABELS}
    inner = {name: v for name, v in data.inner.items() if name != "softmax_scale"}  # of the old labels
    labels = fit_to_loss((logits / tau).softmax(dim=1), data)
    return replace(data, labels=labels, inner=inner, scores=scores, view_labels=None, views=None)


def fit_to_loss(shares: Tensor, data: DistilledSet) -> Tensor:
    """Shares (n, classes) as the set's loss takes them: for a squared error centred, as spread as its labels.

    Its learning rates were chosen for labels of that size, ten times that of shares.
    """
    if data.inner["loss"] != "squared-error":
        return shares
    centred = shares - 1 / shares.shape[1]
    return centred * (data.labels.std(correction=0) / centred.std(correction=0).clamp(min=1e-6))


def read_teacher(teacher: Any, data: DistilledSet) -> Student:
    """A teacher as a student in eval mode, on the device of the set. Raises UserError."""
    if isinstance(teacher, str | os.PathLike):
        return load_teacher(os.fspath(teacher), data)
    if not isinstance(teacher, nn.Module):
        raise UserError(f"teacher is {quote(teacher)}: give a trained module, or the path of its file")
    return as_student(teacher, data.items)


def compute_teacher_logits(data: DistilledSet, teacher: Student) -> Tensor:
    """The teacher's logits (n, classes) for the set's items. Raises UserError where it has none."""
    shape, classes = describe_shape(data.items), data.labels.shape[1]
    try:
        with seed_torch(stream("teacher")):
            logits: Any = teacher.logits(data.items)
    except Exception as error:  # whatever the forward of a user's module raises
        if is_memory_error(error):
            raise
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise UserError(f"the teacher does not take {shape} items ({reason:.80})") from error
    if not isinstance(logits, Tensor) or logits.shape != (len(data), classes):
        answer = describe_shape(logits) if isinstance(logits, Tensor) else f"a {type(logits).__name__}"
        raise UserError(f"the teacher answers {answer} for {len(data)} items of {classes} classes")
    if not logits.isfinite().all():
        raise UserError("the teacher answers NaN or infinity for the set's items: train it anew")
    if are_probabilities(logits):
        raise UserError("the teacher answers probabilities: leave out its last softmax")
    return logits.as_subclass(Tensor).float()


def relabel_and_score(
    data: DistilledSet, real: Splits, path: str, name: str | None, tau: float, seeds: int, views: ViewOptions
) -> tuple[DistilledSet, list[Report]]:
    """The set with the labels of a teacher's file and its new score; reports of the old and new labels."""
    train, test = real
    teacher = load_teacher(path, data, name, train)
    relabelled = label_views(relabel(data, teacher, tau), teacher, views, tau)
    reports = [
        Report(label, replay_accuracies(version, test, seeds))
        for label, version in (("its own labels", data), ("the teacher's labels", relabelled))
    ]
    weights = "held-out" if data.init_state is None else "fixed"
    accuracy = {**reports[1].summary(), "split": "test", "weights": weights}
    command = f"relabel --teacher {Path(path).name} --tau {tau:g}"
    command += f" --views {views.views}" if views.views else ""
    command += f" --top {views.top}" if views.top else ""
    provenance = {**data.provenance, "relabelled": command}
    scores = {**relabelled.scores, "accuracy": accuracy}
    return replace(relabelled, scores=scores, provenance=provenance), reports
