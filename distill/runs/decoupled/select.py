"""Selected real images as a distilled set: a coreset, its labels, a recipe and where it came from."""

import shlex
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

import torch

from distill.data.dataset import Dataset, print_remarks
from distill.errors import UserError
from distill.networks.build import build_network, default_arguments
from distill.outer.synthetic import cyclic_schedule
from distill.randomness import stream
from distill.registry import flag, load, options_of
from distill.runs.decoupled.settings import SelectSettings
from distill.runs.decoupled.teacher import check_teacher, load_trained
from distill.runs.files.machine import check_device, versions
from distill.runs.measure import load_images
from distill.runs.settings import ImageData
from distill.sets.distilled import DistilledSet
from distill.sets.provenance import describe_source, shorten_places
from distill.student import CORESETS
from distill.student.teacher_accuracy import check_accuracy
from distill.student.training import Student
from distill.student.views.labels import check_view_options, label_items, label_views

NEED_TEACHER = ("herding", "k-center", "rded")
STEPS, LR, MOST = 300, 0.01, 100  # of the recipe, with momentum; and the items of a step at most
PER_CLASS = 10
FIXED = ("dataset", "coreset", "seed", "tau")  # options in every command
ELSEWHERE = ("out", "overwrite", "device", "threads", "json")  # where and how a set is made, not which


def select_set(config: SelectSettings) -> DistilledSet:
    """The set that the options ask for. Raises UserError."""
    check_teacher_words(config)
    check_device(config.device, config.threads)
    data = ImageData(
        dataset=config.dataset, data_dir=config.data_dir, image_size=config.image_size, zca=config.zca
    )
    train, test = load_images(data, config.device)
    print_remarks(train)
    blank = build_blank(config, train, test)
    check_view_options(config, blank)
    teacher = read_teacher(config, train)
    draw = load(CORESETS[config.coreset])(blank, train, teacher)
    items, labels = draw(stream("select", config.coreset, config.seed))
    selected = replace(blank, items=items, labels=labels)
    if teacher is None or config.labels == "hard":
        return selected
    soft = replace(selected, labels=label_items(teacher, items, config.tau))
    return label_views(soft, teacher, config, config.tau)


def check_teacher_words(config: SelectSettings) -> None:
    """Raise UserError where a teacher is missing, or has nothing to do."""
    if config.teacher is None and config.coreset in NEED_TEACHER:
        raise UserError(
            f"--teacher FILE is missing: --coreset {config.coreset} chooses by a network that was trained on"
            " the real data"
        )
    if config.teacher is None and (config.labels == "teacher" or config.views):
        option = "--views" if config.views else "--labels teacher"
        raise UserError(f"--teacher FILE is missing: {option} stores its soft labels")
    if config.labels == "hard" and config.views:
        raise UserError("--views has no effect with --labels hard: leave one of them out")


def read_teacher(config: SelectSettings, train: Dataset) -> Student | None:
    """The trained network of --teacher, which needs no batch norm here. Raises UserError."""
    if config.teacher is None:
        return None
    network = load_trained(config.teacher, train, config.device)
    check_teacher(network, config.teacher, train)
    check_accuracy(network, train, config.teacher)
    return Student(network).to(config.device).requires_grad_(False)


def build_blank(config: SelectSettings, train: Dataset, test: Dataset) -> DistilledSet:
    """The set before its items are chosen: its size, recipe, network and provenance. Raises UserError."""
    classes = len(train.classes)
    n = config.n or (config.ipc or PER_CLASS) * classes
    width = {"width": config.width} if config.width else {}
    arguments = default_arguments(config.network, train.shape) | width
    build_network(config.network, train.shape, classes, **arguments)
    batch = max(b for b in range(1, MOST + 1) if n % b == 0)
    source = describe_source(config.dataset, train, test, config.image_size)
    return DistilledSet(
        torch.zeros(n, *train.shape, device=config.device),
        torch.full((n, classes), 1 / classes, device=config.device),
        cyclic_schedule(n, batch, STEPS).to(config.device),
        torch.full((STEPS,), LR, device=config.device),
        {"rule": "sgd", "momentum": 0.9, "loss": "soft-cross-entropy", "augment": ""},
        {"name": config.network, "arguments": arguments, "init": "random", "scheme": "own"},
        source,
        provenance=describe_selection(config),
    )


def describe_selection(config: SelectSettings) -> dict[str, Any]:
    """The set's provenance: the command that makes it again; files by their names alone."""
    words = ["distill", "select", config.dataset, "--coreset", config.coreset, "--seed", str(config.seed)]
    for f in options_of(config):
        value = getattr(config, f.name)
        if f.name not in (*FIXED, *ELSEWHERE) and value != f.default:
            words += [flag(f.name)] if value is True else [flag(f.name), str(value)]
    is_soft = config.teacher is not None and config.labels != "hard"
    words += ["--tau", f"{config.tau!r}".removesuffix(".0")] if is_soft else []
    created = datetime.now(timezone.utc).isoformat(timespec="seconds")
    facts = {"command": shlex.join(words), "seed": config.seed, "versions": versions(), "created": created}
    return shorten_places(facts)
