"""Teachers of a distilled set: students with a teacher's share in their loss, and sets with its labels."""

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from distill.data.dataset import Dataset
from distill.errors import UserError, python_names, unknown
from distill.inner.problem import Problem
from distill.kd.losses import KD_LOSSES, evaluate_loss
from distill.kd.network_files import read_architecture
from distill.kd.networks import create_network, load_checkpoint
from distill.sets.distilled import DistilledSet, describe_shape
from distill.sets.own_data import load_if_path
from distill.sets.plain_types import describe_value, has_type, plain_value
from distill.student.evaluation import replay_accuracies
from distill.student.scores import Report
from distill.student.training import Student, Weights, assemble_problem, replay

LOSSES = tuple(word for word, loss in KD_LOSSES.items() if loss.teacher and not loss.tap)  # on logits alone


@dataclass(frozen=True)
class WithTeacher:
    """A protocol: the set's recipe with the loss (1 - share) · the set's labels + share · the teacher's.

    Raises UserError for a loss that is not one of LOSSES.
    """

    teacher: Student
    loss: str = "hinton"
    tau: float = 4.0
    share: float = 0.9

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise UserError("--kd: " + unknown("loss", self.loss, LOSSES))

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


def append_logits(data: DistilledSet, teacher: Student) -> DistilledSet:
    """The set whose labels (n, 2 · classes) are its own, then the teacher's logits."""
    names = [*data.source["classes"], *(f"{name}, teacher" for name in data.source["classes"])]
    labels = torch.cat([data.labels, teacher.logits(data.items)], dim=1)
    return replace(data, labels=labels, source={**data.source, "classes": names})


def load_teacher(path: str, data: DistilledSet, name: str | None = None) -> Student:
    """A trained network for a set's items and classes, from a file. Raises UserError.

    Its architecture is what the file says, else the one of this name, else the set's own.
    """
    set_architecture = {"name": data.network["name"], **data.network.get("arguments", {})}
    architecture = {
        "subclasses": 1,
        **(read_architecture(path) or ({"name": name} if name else set_architecture)),
    }
    shape, classes = tuple(data.items.shape[1:]), data.labels.shape[1]
    network = create_network("teacher", architecture, shape, classes, (0, 0), str(data.items.device))
    load_checkpoint(network, path)
    return network.student


@python_names()
def relabel(
    data: DistilledSet | str | os.PathLike[str],
    teacher: nn.Module | str | os.PathLike[str],
    tau: float = 1.0,
) -> DistilledSet:
    """The set with labels softmax(teacher(items) / tau).

    data: the set, or the path of its file. teacher: a Student or another trained module, or the path of its
    weights. Raises UserError.
    """
    data, tau = load_if_path(data), plain_value(tau)
    if isinstance(tau, bool) or not has_type(tau, float) or not tau > 0:
        raise UserError(f"tau must be a finite number above 0, not {describe_value(tau)}")
    logits = compute_teacher_logits(data, read_teacher(teacher, data))
    return replace(data, labels=(logits / tau).softmax(dim=1))


def read_teacher(teacher: Any, data: DistilledSet) -> Student:
    """A teacher as a student in eval mode, on the device of the set. Raises UserError."""
    if isinstance(teacher, Student):
        return teacher
    if isinstance(teacher, str | os.PathLike):
        return load_teacher(os.fspath(teacher), data)
    if not isinstance(teacher, nn.Module):
        raise UserError(
            f"teacher is a {type(teacher).__name__}: give a trained module, or the path of its file"
        )
    return Student(teacher).to(data.items.device)


def compute_teacher_logits(data: DistilledSet, teacher: Student) -> Tensor:
    """The teacher's logits (n, classes) for the set's items. Raises UserError where it has none."""
    shape, classes = describe_shape(data.items), data.labels.shape[1]
    try:
        logits: Any = teacher.logits(data.items)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise UserError(
            f"the teacher does not take {shape} items ({' '.join(str(error).split()):.80})"
        ) from error
    if not isinstance(logits, Tensor) or logits.shape != (len(data), classes):
        answer = describe_shape(logits) if isinstance(logits, Tensor) else f"a {type(logits).__name__}"
        raise UserError(f"the teacher answers {answer} for {len(data)} items of {classes} classes")
    if not logits.isfinite().all():
        raise UserError("the teacher answers NaN or infinity for the set's items: train it anew")
    return logits.float()


def relabel_and_score(
    data: DistilledSet, test: Dataset, path: str, name: str | None, tau: float, seeds: int
) -> tuple[DistilledSet, list[Report]]:
    """The set with the labels of a teacher's file and its new score; reports of the old and new labels."""
    relabelled = relabel(data, load_teacher(path, data, name), tau)
    reports = [
        Report(label, replay_accuracies(version, test, seeds))
        for label, version in (("its own labels", data), ("the teacher's labels", relabelled))
    ]
    weights = "held-out" if data.init_state is None else "fixed"
    accuracy = {**reports[1].summary(), "split": "test", "weights": weights}
    command = f"relabel --teacher {Path(path).name} --tau {tau:g}"
    provenance = {**data.provenance, "relabelled": command}
    scores = {**data.scores, "accuracy": accuracy}
    return replace(relabelled, scores=scores, provenance=provenance), reports
