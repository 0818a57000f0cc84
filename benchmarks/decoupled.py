"""Decoupled methods on CIFAR-10, a hundred images: real ones and RDED's, by the soft labels of a teacher.

`python -m benchmarks.decoupled --data cifar10.npz` whitens the images, trains one ConvNet on all of them and
keeps it after some numbers of steps (in --cache). The checkpoint whose labels teach held-out images best, by
short trainings of students, labels. Then students of new networks train on each kind of items by the
protocol dsa, and read the test images once. Each row is written to benchmarks/results/decoupled.json at
once; one that is there is not measured again, so that a stopped benchmark goes on.
"""

import argparse
import json
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from benchmarks import machine
from benchmarks.cases import markdown, percent
from distill.data.dataset import Dataset
from distill.data.images import load
from distill.data.whiten import fit_zca, whiten
from distill.kd.network_files import load_weights, save_network
from distill.networks.build import build_network
from distill.networks.initial import draw_weights
from distill.randomness import stream
from distill.runs.files.machine import speed_up_cpu
from distill.sets.distilled import DistilledSet
from distill.sets.provenance import describe_source
from distill.student.comparison.coresets import Draw, label_by_teacher, random_real, rded, remember_draws
from distill.student.comparison.teachers import train_with_checkpoints
from distill.student.evaluation import accuracy
from distill.student.protocols.standard import SiameseAugmentation
from distill.student.scores import Report
from distill.student.training import Student
from distill.student.views.fkd import FKD
from distill.student.views.labels import label_views
from distill.student.views.settings import ViewOptions

N, HELD_OUT, TRIAL_EPOCHS = 100, 5000, 200
CHECKPOINTS = (100, 200, 400, 800)  # optimiser steps of the teacher, the last its end
NAME = "decoupled"
VIEWS = "crop-flip"  # the changes of views
LRS = (0.01, 0.03, 0.06, 0.1)  # of dsa, by which students are tried; the teacher is chosen by the first
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Bench:
    """The whitened splits, the network of teacher and students, and how students train."""

    train: Dataset
    held_out: Dataset
    test: Dataset
    width: int
    epochs: int

    def build(self) -> torch.nn.Module:
        """A new network."""
        return build_network("convnet", self.train.shape, len(self.train.classes), width=self.width)

    def blank(self) -> DistilledSet:
        """A set of as many items, whose items and labels are to be replaced."""
        n, classes = N, len(self.train.classes)
        return DistilledSet(
            torch.zeros(n, *self.train.shape), torch.full((n, classes), 1 / classes), torch.arange(n)[None],
            torch.full((1,), 0.01), {"rule": "sgd", "momentum": 0.0, "loss": "soft-cross-entropy"},
            {"name": "convnet", "arguments": {"width": self.width}, "init": "random", "scheme": "own"},
            describe_source("cifar10", self.train, self.test),
        )  # fmt: skip

    def train_student(self, row: "Row", seed: int, epochs: int, purpose: str, lr: float) -> Student:
        """A new network trained on the items of a row, its products in bfloat16.

        Without the cache of autocast, which keeps the weights of the first step for the whole training.
        """
        items, labels = row.draw(stream(NAME, purpose, seed))
        network, data = self.build(), replace(self.blank(), items=items, labels=labels)
        weights = draw_weights(network, stream(NAME, purpose, "weights", seed), "own")
        with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
            if row.viewer is not None:
                data = label_views(data, row.viewer, ViewOptions(epochs, VIEWS))
            protocol = SiameseAugmentation(epochs=epochs, lr=lr) if row.viewer is None else FKD(epochs)
            return protocol.train(data, network, weights, stream(NAME, purpose, "batches", seed))


@dataclass(frozen=True)
class Row:
    """What students of a row train on: by dsa, or by fkd on the labels of a viewer for each view."""

    items: str
    draw: Draw
    viewer: Student | None = None

    @property
    def protocol(self) -> str:
        """The word of the students' protocol."""
        return "dsa" if self.viewer is None else "fkd"


def open_bench(options: argparse.Namespace) -> Bench:
    """The splits, whitened by the training images alone."""
    train, test = load(str(options.data))
    train, held_out = train.hold_out(HELD_OUT, stream(NAME, "split"))
    zca = fit_zca(train)
    train, held_out, test = (whiten(part, zca) for part in (train, held_out, test))
    return Bench(train, held_out, test, options.width, options.epochs)


def load_teachers(bench: Bench, cache: Path) -> dict[int, Student]:
    """The teacher after each number of CHECKPOINTS, from the files of the cache or trained now."""
    cache.mkdir(parents=True, exist_ok=True)
    paths = {step: cache / f"teacher-w{bench.width}-of-{CHECKPOINTS[-1]}-{step}.pt" for step in CHECKPOINTS}
    network = bench.build()
    if not all(path.exists() for path in paths.values()):
        weights = draw_weights(network, stream(NAME, "teacher"), "own")
        with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
            teachers = train_with_checkpoints(bench.train, network, weights, CHECKPOINTS)
        for step, path in paths.items():
            architecture = {"name": "convnet", "width": bench.width}
            save_network(str(path), architecture, teachers[step].network, bench.train.classes)
    like = dict(network.named_parameters())
    return {step: Student(network, load_weights(str(path), network, like)) for step, path in paths.items()}


def choose_checkpoint(bench: Bench, teachers: dict[int, Student]) -> tuple[int, dict[int, float]]:
    """The checkpoint whose labels teach best, and the held-out accuracy of a student of each."""
    draw = random_real(bench.blank(), bench.train)
    scores = {}
    for step, teacher in teachers.items():
        row = Row("random real", label_by_teacher(draw, teacher))
        student = bench.train_student(row, 0, TRIAL_EPOCHS, "choose", LRS[0])
        scores[step] = accuracy(student, bench.held_out)
        print(f"teacher after {step} steps: {accuracy(teacher, bench.held_out):.3f} held out, its student"
              f" {scores[step]:.3f}", file=sys.stderr, flush=True)  # fmt: skip
    return max(scores, key=lambda step: scores[step]), scores


def choose_lr(bench: Bench, teacher: Student, first: float) -> tuple[float, dict[float, float]]:
    """The rate of dsa whose student of the teacher does best on held-out images, and the scores.

    first: the score by the first rate.
    """
    draw, scores = random_real(bench.blank(), bench.train), {LRS[0]: first}
    for lr in LRS[1:]:
        row = Row("random real", label_by_teacher(draw, teacher))
        student = bench.train_student(row, 0, TRIAL_EPOCHS, "choose", lr)
        scores[lr] = accuracy(student, bench.held_out)
        print(f"students at {lr:g}: {scores[lr]:.3f} held out", file=sys.stderr, flush=True)
    return max(scores, key=lambda lr: scores[lr]), scores


def list_rows(bench: Bench, labeller: Student, last: Student) -> list[Row]:
    """Real images and crops of RDED, which the fully trained teacher picks, by three kinds of labels."""
    blank = bench.blank()
    real, crops = random_real(blank, bench.train), remember_draws(rded(blank, bench.train, last))
    return [
        Row("random real, soft labels", label_by_teacher(real, labeller)),
        Row("RDED, soft labels", label_by_teacher(crops, labeller)),
        Row("random real, labels of each view", real, last),
        Row("RDED, labels of each view", crops, last),
        Row("random real, hard labels", real),
        Row("RDED, hard labels", crops),
    ]


def measure(bench: Bench, row: Row, seeds: int, lr: float) -> tuple[float, ...]:
    """The test accuracy of each seed's student; each has other items."""
    students = (bench.train_student(row, seed, bench.epochs, "score", lr) for seed in range(seeds))
    return tuple(accuracy(student, bench.test) for student in students)


def read_results() -> dict[str, Any]:
    """What benchmarks/results/decoupled.json holds."""
    path = machine.RESULTS / f"{NAME}.json"
    content: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {"rows": [], "teachers": []}
    return content


def write(content: dict[str, Any]) -> None:
    """The results, whole or not at all, and the table beside them."""
    content = {key: content[key] for key in ("rows", "teachers")}
    path = machine.write_results(NAME, "make bench-decoupled", content)
    path.with_suffix(".md").write_text(table(content["rows"]) + "\n", encoding="utf-8")


def table(rows: Rows) -> str:
    """The rows as a Markdown table."""
    head = [
        "100 images of CIFAR-10",
        "network",
        "teacher's steps",
        "students",
        "test accuracy",
        "n",
        "seconds",
    ]
    return markdown(head, [
        [r["items"], f"convnet, width {r['width']}", f"{r['teacher_steps']}",
         f"{r['protocol']}, {r['epochs']} epochs at {r['lr']:g}", percent(r), str(r["n"]),
         f"{r['seconds']:.0f}"]
        for r in rows
    ])  # fmt: skip


def run(options: argparse.Namespace) -> None:
    """Choose the labelling teacher, then measure each row that the results lack."""
    content, bench = read_results(), open_bench(options)
    teachers = load_teachers(bench, options.cache)
    known = [t for t in content["teachers"] if t["width"] == bench.width]
    if not known:
        chosen, scores = choose_checkpoint(bench, teachers)
        known = [{"width": bench.width, "chosen": chosen, "held_out": {str(k): v for k, v in scores.items()}}]
        content["teachers"] += known
        write(content)
    step = known[0]["chosen"]
    if "lr" not in known[0]:
        lr, tried = choose_lr(bench, teachers[step], known[0]["held_out"][str(step)])
        known[0] |= {"lr": lr, "held_out_by_lr": {f"{k:g}": v for k, v in tried.items()}}
        write(content)
    lr = known[0]["lr"]
    for row in list_rows(bench, teachers[step], teachers[CHECKPOINTS[-1]])[: options.rows]:
        key = {"items": row.items, "protocol": row.protocol, "width": bench.width, "epochs": bench.epochs}
        key["lr"] = lr if row.viewer is None else FKD().lr
        key["teacher_steps"] = CHECKPOINTS[-1] if row.viewer else step
        if any(all(measured.get(k) == v for k, v in key.items()) for measured in content["rows"]):
            continue
        start = time.perf_counter()
        report = Report(row.items, measure(bench, row, options.seeds, lr))
        seconds = round(time.perf_counter() - start, 1)
        content["rows"].append({**key, "scores": list(report.scores), **report.summary(), "seconds": seconds})
        write(content)
        print(f"{row.items}: {percent(content['rows'][-1])} in {seconds:.0f} s", flush=True)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="cifar10.npz")
    parser.add_argument("--cache", type=Path, default=Path("runs/decoupled"), help="where teachers are kept")
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=1000, help="of students")
    parser.add_argument("--seeds", type=int, default=3, help="students of each row")
    parser.add_argument("--rows", type=int, help="only the first so many kinds of items")
    options = parser.parse_args()
    speed_up_cpu(1)
    run(options)


if __name__ == "__main__":
    main()
