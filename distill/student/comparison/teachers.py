"""Teachers whose soft labels the real items of a baseline get: checkpoints of one training, chosen early."""

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from distill.data.dataset import Dataset
from distill.errors import NetworkError, UserError, quote
from distill.inner.dry_run import are_probabilities, check_items_independent, check_rows, forward
from distill.inner.losses import cross_entropy_with_any_labels
from distill.randomness import seed_torch, stream
from distill.sets.distilled import DistilledSet
from distill.student.comparison.baselines import ORDINARY_BATCH, build_adam, epochs_on_all
from distill.student.comparison.coresets import Draw, label_by_teacher, random_real, with_equal_bytes
from distill.student.evaluation import accuracy, as_student
from distill.student.loop import Turn, build_student, draw_batches, run_turns, train_ordinary
from distill.student.training import Student, Weights, initial_weights, resolve_set_network

CHECKPOINTS = (10, 25, 50, 100, 200, 400)  # optimiser steps after which a teacher is tried
TRIAL_EPOCHS = 60  # of the short protocol that chooses a teacher
TRIAL_DRAWS = 2  # draws of items that do


def train_teachers(data: DistilledSet, train: Dataset, held_out: Dataset) -> tuple[Student, Student]:
    """(the set's network trained on all real items, its checkpoint whose soft labels teach best)."""
    last = count_teacher_steps(len(train))
    print(
        f"training the teacher, {data.network['name']}, on {len(train)} items, {last} steps", file=sys.stderr
    )
    network = resolve_set_network(data)
    weights = initial_weights(data, network, "random", 1)[0]
    steps = [*(step for step in CHECKPOINTS if step < last), last]
    teachers = train_with_checkpoints(train, network, weights, steps)
    small = with_equal_bytes(data)
    step, labeller = choose_teacher(small, teachers, random_real(small, train), held_out, network, weights)
    print(f"soft labels are those of the teacher after {step} steps", file=sys.stderr)
    return teachers[last], labeller


def count_teacher_steps(items: int) -> int:
    """The optimiser steps of a teacher on so many real items: 600, and at least two epochs."""
    return min(epochs_on_all(items)) * -(-items // ORDINARY_BATCH)


def estimate_teacher_seconds(data: DistilledSet, train: Dataset, steps: int = 3) -> float:
    """About how long the training of the teacher takes, in seconds, from a few of its steps."""
    network = resolve_set_network(data)
    weights, start = initial_weights(data, network, "random", 1)[0], time.perf_counter()
    train_with_checkpoints(train, network, weights, (steps,))
    return (time.perf_counter() - start) / steps * count_teacher_steps(len(train))


def train_with_checkpoints(
    train: Dataset, network: nn.Module, weights: Weights, steps: Sequence[int]
) -> dict[int, Student]:
    """The network after so many steps of one training on all real data: Adam at 0.002, batches of 128.

    The rate falls linearly to zero over the last of the steps.
    """
    student, last = build_student(train, network, weights).train(), max(steps)
    epochs = -(-last * ORDINARY_BATCH // len(train))
    turn = Turn(
        build_adam(student.parameters()),
        lambda b: cross_entropy_with_any_labels(student(b.x), b.y),
        "the teacher",
    )
    batches = draw_batches(train, ORDINARY_BATCH, epochs, stream("teacher"))
    kept = {}
    with seed_torch(stream("teacher", "layers")):
        for record in run_turns([turn], (b for b, _ in zip(batches, range(last), strict=False)), last):
            if record.step in steps:
                kept[record.step] = Student(student.network)
    return {step: checkpoint.requires_grad_(False) for step, checkpoint in kept.items()}


def choose_teacher(
    data: DistilledSet, teachers: dict[int, Student], draw: Draw, held_out: Dataset, network: nn.Module,
    weights: Weights,
) -> tuple[int, Student]:  # fmt: skip
    """The teacher with whose soft labels drawn real items teach best, after the number of its steps.

    An early-stopped one has softer labels, which tell more of few items (Qin et al. 2024, section 4). Best:
    the held-out accuracy of a network that is trained on the items for 60 epochs by Adam at 0.002.
    """

    def score(teacher: Student) -> float:
        total = 0.0
        for k in range(TRIAL_DRAWS):
            items, labels = label_by_teacher(draw, teacher)(stream("teacher", "choose", k))
            settings = (build_adam, TRIAL_EPOCHS, 256, stream("teacher", "trial", k))
            labelled = replace(data, items=items, labels=labels)
            total += accuracy(train_ordinary(labelled, network, weights, *settings), held_out)
        return total

    return max(teachers.items(), key=lambda pair: score(pair[1]))


def check_teacher(teacher: Any, data: DistilledSet) -> Student:
    """A user's trained module as a student in eval mode. Raises UserError for what cannot teach the set."""
    if not isinstance(teacher, nn.Module):
        raise UserError(f"teacher is {quote(teacher)}: give a trained module of the set's items and classes")
    student, x = as_student(teacher, data.items), data.items
    try:
        with torch.no_grad(), seed_torch(stream("teacher", "check")):
            logits: Any = forward(student.network, x)
            check_rows(logits, len(x), data.labels.shape[1])
            check_items_independent(student.network, x)
    except NetworkError as error:
        raise NetworkError(str(error).replace("the network", "the teacher")) from error
    if not logits.isfinite().all():
        raise NetworkError("the teacher answers NaN or infinity for the set's items: train it anew")
    if are_probabilities(logits):
        raise NetworkError("the teacher answers probabilities: leave out its last softmax")
    return student
