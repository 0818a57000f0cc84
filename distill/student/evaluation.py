"""How good students are: their accuracy on real data."""

import os
from collections.abc import Iterable
from typing import Any, cast

import torch
from torch import Tensor, nn

from distill.data.classes import is_numbered
from distill.data.dataset import Dataset, check_labels
from distill.data.files.labels import list_words
from distill.errors import DataError, NetworkError, is_memory_error, python_names
from distill.inner.dry_run import check_rows, first_line, format_shape
from distill.inner.kernels import FastPooling, replace_modules
from distill.inner.problem import Loss
from distill.networks.functional import unwrap
from distill.networks.resolve import NetworkLike, plain_torch
from distill.randomness import seed_torch, stream
from distill.sets.distilled import DistilledSet
from distill.sets.plain_types import check_count
from distill.sets.real_data import fit_to_set, load_if_path, match_real_data, read_data
from distill.student.loop import TRIAL_ITEMS
from distill.student.protocols import TrainingProtocol, build_start, choose_protocol, train_students
from distill.student.scores import Report
from distill.student.training import Student, build_problem, initial_weights, replay

CHUNK = 784_000  # numbers of the items of one forward pass
CHUNKS = {"cpu": 100_000}  # whose maps stay in its cache: LeNet takes a third of the time


@python_names()
@plain_torch()
def evaluate(
    data: DistilledSet | str | os.PathLike[str],
    test: Any,
    network: NetworkLike = None,
    init: str | None = None,
    seeds: int = 20,
    protocol: TrainingProtocol | str | None = None,
    inner_loss: Loss | None = None,
) -> Report:
    """The test accuracies of students of a set: their mean, std and n, as `distill student SET.pt` measures.

    Args:
        data: the set, or the path of its file.
        test: real data in any form that `distill.distill` takes, of the set's items and classes.
        network: the network to train, a module, a factory or a name (default: the set's own).
        init: "fixed" (the set's weights) or "random" (default: as the set was learned, for a name "random").
        seeds: how many networks, where their weights are random.
        protocol: how they are trained: a word of PROTOCOLS, as "dc", or "recommended", or an object
            (default: the set's own recipe).
        inner_loss: the function by which the set was learned, where that was the user's own.

    Raises:
        UserError: what cannot be measured, in one sentence.
    """
    data, seeds = load_if_path(data), check_count("seeds", seeds)
    chosen = choose_protocol(protocol, data, inner_loss)
    real = fit_to_set(test, data)
    start = build_start(data, network, init, seeds)
    students = train_students(chosen, data, start)
    return Report(data.count("distilled items"), accuracies(students, real))


@plain_torch()
def accuracy(student: nn.Module, data: Any, numbers: int | None = None) -> float:
    """The share of a real data set's items whose largest logit is that of their label, in [0, 1].

    A module that is no Student is measured as one, in eval mode. data: any form that `distill.distill` takes,
    of items as the student sees them; of soft labels the largest counts. Items are taken in chunks of so many
    numbers (default: as suits the device). Raises DataError.
    """
    predictions, labels = predict_classes(student, read_data(data, pixels=False), numbers)
    return int((predictions == labels).sum()) / len(labels)


def predict_classes(student: Any, data: Any, numbers: int | None = None) -> tuple[Tensor, Tensor]:
    """The class (n,) of each item's largest logit and that of its label, for the data of accuracy().

    Raises DataError.
    """
    items = data.batch(slice(0, TRIAL_ITEMS))[0]
    student = replace_modules(as_student(student, items), FastPooling)
    chunk = max(1, (numbers or CHUNKS.get(items.device.type, CHUNK)) // items[0].numel())
    pairs = [predict_chunk(student, data, slice(k, k + chunk)) for k in range(0, len(data), chunk)]
    predictions, labels = (torch.cat(column) for column in zip(*pairs, strict=True))
    return predictions, labels


def predict_chunk(student: Student, data: Any, part: slice) -> tuple[Tensor, Tensor]:
    """The classes (b,) that a student gives a part of the data, and their labels. Raises DataError."""
    x, y = data.batch(part)
    with seed_torch(stream("accuracy")):  # of a network that draws in eval mode too
        logits = ask(student, x)
    labels = y.argmax(dim=1) if y.ndim == 2 else y
    check_labels("the data", labels, labels, logits.shape[1])
    check_class_count(data, logits.shape[1])
    return logits.argmax(dim=1), labels


def check_class_count(data: Any, classes: int) -> None:
    """Raise DataError where real data have names for fewer classes, whose numbers are then others."""
    names = data.classes if isinstance(data, Dataset) else ()
    if names and len(names) < classes and not is_numbered(names):
        raise DataError(
            f"the data have the {len(names)} classes {list_words(names)}, and the student {classes}: give the"
            " numbers of the student's classes, or measure by distill.student.evaluate(set, test)"
        )


def as_student(module: Any, x: Tensor) -> Student:
    """A student as it is if it is ready to be asked for x, else a private copy in eval mode of any module.

    The copy has the precision of x and is where x is. Raises NetworkError for what is no module.
    """
    is_student = isinstance(module, Student) and not any(part.training for part in module.modules())
    if is_student and all((p.dtype, p.device) == (x.dtype, x.device) for p in module.parameters()):
        return module
    return Student(unwrap(module)).to(x if x.is_floating_point() else x.device)


def ask(student: Student, x: Tensor) -> Tensor:
    """The logits (b, classes) of a user's network. Raises NetworkError where it answers anything else."""
    try:
        logits: Any = student.logits(x)
    except Exception as error:  # whatever the forward of a user's module raises
        if is_memory_error(error):  # which the network is not to blame for
            raise
        raise NetworkError(
            f"the network does not take {format_shape(x)} items ({first_line(error)})"
        ) from error
    check_rows(logits, len(x), None)
    return cast(Tensor, logits)


def accuracies(students: Iterable[Student], data: Dataset) -> tuple[float, ...]:
    """The accuracy of each student."""
    return tuple(accuracy(student, data) for student in students)


def report_students(name: str, students: Iterable[Student], data: Dataset) -> Report:
    """The accuracies of students under a name."""
    return Report(name, accuracies(students, data))


def replay_accuracies(data: DistilledSet, test: Dataset, count: int) -> tuple[float, ...]:
    """Test accuracies of students by the set's recipe, from its fixed weights or `count` random ones."""
    (test,), problem = match_real_data(data, test), build_problem(data)
    weights = initial_weights(data, problem.network, data.network.get("init", "random"), count)
    return accuracies((replay(data, problem, w) for w in weights), test)
