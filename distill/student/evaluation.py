"""How good students are: their accuracy on real data."""

import os
from collections.abc import Iterable
from typing import Any

from torch import nn

from distill.data.dataset import Dataset, check_labels
from distill.errors import UserError, python_names
from distill.networks.resolve import NetworkLike
from distill.sets.distilled import DistilledSet
from distill.sets.plain_types import check_count
from distill.sets.real_data import fit_to_set, load_if_path, match_real_data, read_data
from distill.student.protocols import SetRecipe, TrainingProtocol, build_start, train_students
from distill.student.scores import Report
from distill.student.training import Student, build_problem, initial_weights, replay


@python_names()
def evaluate(
    data: DistilledSet | str | os.PathLike[str],
    test: Any,
    network: NetworkLike = None,
    init: str | None = None,
    seeds: int = 20,
    protocol: TrainingProtocol | None = None,
) -> Report:
    """The test accuracies of students of a set: their mean, std and n, as `distill student SET.pt` measures.

    Args:
        data: the set, or the path of its file.
        test: real data in any form that `distill.distill` takes, of the set's items and classes.
        network: the network to train, a module, a factory or a name (default: the set's own).
        init: "fixed" (the set's weights) or "random" (default: as the set was learned).
        seeds: how many networks, where their weights are random.
        protocol: how they are trained (default: the set's own recipe).

    Raises:
        UserError: what cannot be measured, in one sentence.
    """
    data, seeds = load_if_path(data), check_count("seeds", seeds)
    if protocol is not None and (isinstance(protocol, type) or not hasattr(protocol, "train")):
        raise UserError(
            f"protocol is {protocol!r:.80}: give SetRecipe() or Ordinary(optimiser) of"
            " distill.student.protocols, or leave it out"
        )
    real = fit_to_set(test, data)
    start = build_start(data, network, init, seeds)
    students = train_students(protocol or SetRecipe(), data, start)
    return Report(f"{len(data)} distilled items", accuracies(students, real))


def accuracy(student: nn.Module, data: Any, numbers: int = 784_000) -> float:
    """The share of a real data set's items whose largest logit is that of their label, in [0, 1].

    A module that is no Student is measured as one, in eval mode. data: any form that `distill.distill` takes,
    of items as the student sees them; of soft labels the largest counts. Items are taken in chunks of so many
    numbers: 25,000 reviews take 19 s in batches of 64, 68 s in those of 1,000. Raises DataError.
    """
    data = read_data(data, pixels=False)
    chunk = max(1, numbers // data.batch(slice(0, 16))[0][0].numel())
    hits, student = 0, student if isinstance(student, Student) else Student(student)  # a private copy
    for first in range(0, len(data), chunk):
        x, y = data.batch(slice(first, first + chunk))
        logits, labels = student.logits(x), y.argmax(dim=1) if y.ndim == 2 else y
        check_labels("the data", labels, labels, logits.shape[1])
        hits += int((logits.argmax(dim=1) == labels).sum())
    return hits / len(data)


def accuracies(students: Iterable[Student], data: Dataset) -> tuple[float, ...]:
    """The accuracy of each student."""
    return tuple(accuracy(student, data) for student in students)


def replay_accuracies(data: DistilledSet, test: Dataset, count: int) -> tuple[float, ...]:
    """Test accuracies of students by the set's recipe, from its fixed weights or `count` random ones."""
    (test,), problem = match_real_data(data, test), build_problem(data)
    weights = initial_weights(data, problem.network, data.network.get("init", "random"), count)
    return accuracies((replay(data, problem, w) for w in weights), test)
