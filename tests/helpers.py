"""Problems with known answers, generated data, and a command run as a user runs it."""

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from distill.data.images import load
from distill.inner.problem import Problem
from distill.inner.rules import SGD, Rule
from distill.inner.step import Step
from distill.networks.build import build_network
from distill.networks.initial import draw_weights
from distill.randomness import stream
from distill.runs.resolve import change, resolve
from distill.sets.distilled import DistilledSet
from distill.sets.real_data import match_real_data
from distill.student.loop import train_ordinary
from distill.student.training import Student
from distill.student.views.schedule import ViewSchedule, describe_views

SHAPE, CLASSES = (1, 8, 8), 3


def change_settings(settings: Any, **values: Any) -> Any:
    """The settings with values in whichever part has them."""
    for name, value in values.items():
        parts = [
            f.name for f in fields(settings) if name in {g.name for g in fields(getattr(settings, f.name))}
        ]
        settings = change(settings, parts[0], **{name: value})
    return settings


def shorten(settings: Any, saved: Any = None) -> Any:
    """The settings in full, for two outer steps and few networks."""
    values = {
        "outer_steps": 2,
        "minutes": None,
        "test_networks": 2,
        "validation_networks": 1,
        "outer_batch": 32,
    }
    return change_settings(resolve(settings, saved), **values)


def waves(*shape: int, phase: float = 0.0) -> Tensor:
    """Values in [-1, 1] that no change of a random generator moves."""
    count = int(np.prod(shape))
    return torch.sin(torch.arange(count, dtype=torch.float64) + phase).reshape(shape)


def digit_set() -> DistilledSet:
    """Five items for a LeNet with fixed initial weights on 28×28, as a user would have them."""
    return DistilledSet(
        items=waves(5, 1, 28, 28).float(),
        labels=waves(5, 10).float(),
        schedule=torch.arange(5).repeat(4, 1),
        lrs=0.01 + 0.005 * waves(4, 10).float(),
        inner={"rule": "sgd", "momentum": 0.0, "loss": "soft-cross-entropy"},
        network={"name": "lenet", "arguments": {}, "init": "fixed", "scheme": "xavier"},
        source={"name": "mnist", "classes": list("0123456789"), "mean": [0.13], "std": [0.31]},
        init_state=draw_weights(build_network("lenet", (1, 28, 28), 10), stream("digits")),
    )


class Small(nn.Sequential):
    """Convolution, norm, smooth activation, pooling and a matrix: twice differentiable everywhere."""

    def __init__(self, shape: Sequence[int] = SHAPE, classes: int = CLASSES) -> None:
        super().__init__(
            nn.Conv2d(shape[0], 4, 3, padding=1), nn.GroupNorm(2, 4), nn.Softplus(), nn.AvgPool2d(4),
            nn.Flatten(), nn.Linear(4 * (shape[1] // 4) * (shape[2] // 4), classes),
        )  # fmt: skip


def small_problem(rule: Rule | None = None) -> Problem:
    """A float64 problem on 8×8 items of three classes."""
    return Problem(Small().double(), rule or SGD())


def small_weights(problem: Problem, seed: int = 0) -> dict[str, Tensor]:
    return draw_weights(problem.network, stream("test", seed))


def small_steps(problem: Problem, count: int = 4, n: int = 2, per_tensor: bool = True) -> list[Step]:
    """Distinct float64 steps with signed soft labels and a different learning rate each."""
    g = len(problem.names)
    steps = []
    for t in range(count):
        lr = 0.1 + 0.05 * waves(g, phase=t) if per_tensor else torch.tensor(0.1 + 0.02 * t).double()
        steps.append(Step(waves(n, *SHAPE, phase=t), waves(n, CLASSES, phase=7 + t), lr))
    return steps


def real_batch() -> tuple[Tensor, Tensor]:
    return waves(6, *SHAPE, phase=50), torch.tensor([0, 1, 2, 0, 1, 2])


def blobs(count: int, seed: int = 0, size: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """uint8 images (count, size, size) of three classes, each with another third bright."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    images = random.integers(0, 120, (count, size, size), dtype=np.uint8)
    third = size // CLASSES
    for image, label in zip(images, labels, strict=True):
        image[:, label * third : (label + 1) * third] += 100
    return images, labels


def write_npz(path: Path, train: int = 300, test: int = 60, size: int = 8, **changes: object) -> Path:
    """A small data set file as a user may have one."""
    (x, y), (tx, ty) = blobs(train, 0, size), blobs(test, 1, size)
    arrays = {"x_train": x, "y_train": y, "x_test": tx, "y_test": ty} | changes
    np.savez(path, **{name: a for name, a in arrays.items() if a is not None})
    return path


def small_set(n: int = 3, steps: int = 4, **changes: object) -> DistilledSet:
    """A valid distilled set for the network "mlp" on 8×8 items."""
    content: dict = {
        "items": waves(n, *SHAPE).float(),
        "labels": waves(n, CLASSES, phase=3).float(),
        "schedule": torch.arange(n).repeat(steps, 1),
        "lrs": torch.full((steps,), 0.05),
        "inner": {"rule": "sgd", "momentum": 0.0, "loss": "soft-cross-entropy"},
        "network": {"name": "mlp", "arguments": {"width": 16}, "init": "random", "scheme": "xavier"},
        "source": {"name": "blobs.npz", "classes": ["a", "b", "c"], "mean": [0.3], "std": [0.2]},
    }
    return DistilledSet(**(content | changes))


def train_teacher(file: Path) -> Student:
    """An mlp of width 16 that knows the classes of an .npz of blobs, as students of small_set() see them."""
    train, _ = match_real_data(small_set(), *load(str(file)))
    network, adam = build_network("mlp", SHAPE, CLASSES, width=16), partial(torch.optim.Adam, lr=0.01)
    return train_ordinary(train, network, None, adam, 5, 50, stream("teacher"))


def prepare_for(word: str, data: DistilledSet) -> DistilledSet:
    """A set with what the protocol of a word needs: fkd trains on labels of each view."""
    if word != "fkd":
        return data
    labels, views = data.labels.softmax(dim=1), describe_views(ViewSchedule("flip"), data.items)
    if bool(((data.labels == 0) | (data.labels == 1)).all()):
        labels = data.labels
    return replace(data, view_labels=labels.repeat(2, 1, 1), views=views)


def run_module(
    *arguments: object, cwd: Path | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """`python -m ARGUMENTS` in a process of its own; its text output and exit code."""
    root = str(Path(__file__).parents[1])
    environment = os.environ | {"PYTHONPATH": root, "PYTHONWARNINGS": "ignore"} | (env or {})
    arguments = tuple(str(w) for w in arguments)
    return subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


NOUNS, FILLERS = (
    {"bird": ["owl", "jay", "tit"], "tree": ["oak", "ash", "elm"]},
    ["a", "the", "is", "of", "and"],
)


def write_texts(root: Path, train: int = 300, test: int = 60) -> list[str]:
    """Text files of two classes, each with its own three nouns, and of word vectors; the options for them."""
    random = np.random.default_rng(0)
    for name, count in (("train", train), ("test", test)):
        lines = ["text,label"]
        for i in range(count):
            label = list(NOUNS)[i % 2]
            words = [*random.choice(FILLERS, 5), random.choice(NOUNS[label])]
            random.shuffle(words)
            lines.append(f"{' '.join(words)},{label}")
        (root / f"{name}.csv").write_text("\n".join(lines) + "\n")
    vocabulary = [*FILLERS, *(w for nouns in NOUNS.values() for w in nouns)]
    rows = [f"{w} {' '.join(f'{v:.4f}' for v in random.normal(size=8))}" for w in vocabulary]
    (root / "vectors.txt").write_text("\n".join(rows) + "\n")
    files = {"--train": "train.csv", "--test": "test.csv", "--vectors": "vectors.txt"}
    return [argument for option, file in files.items() for argument in (option, str(root / file))]


def read_json_line(output: str) -> Any:
    """The result of a command with --json: the last line of its output."""
    return json.loads(output.strip().splitlines()[-1])


def copy_package(folder: Path, example: Path, file: str, table: str, line: str) -> Path:
    """A copy of distill/ in folder, with the example as a file, and a line more in the table FILE:NAME."""
    source = Path(__file__).parents[1] / "distill"
    shutil.copytree(source, folder / "distill", ignore=shutil.ignore_patterns("__pycache__", "bundled"))
    shutil.copy(example, folder / "distill" / file)
    path, name = folder / "distill" / table.split(":")[0], table.split(":")[1]
    text = path.read_text(encoding="utf-8")
    changed = re.sub(rf"^{name}\b[^{{\n]*\{{\n", lambda start: start[0] + line, text, flags=re.MULTILINE)
    assert changed != text
    path.write_text(changed, encoding="utf-8")
    return folder


def make_environment(package: Path) -> dict[str, str]:
    """The variables by which a changed copy of the package goes before the installed one."""
    return {"PYTHONPATH": os.pathsep.join([str(package), str(Path(__file__).parents[1])])}


def as_users_call(function: Callable[..., Any]) -> Callable[..., Any]:
    """A public function without the run-time type checks of the test suite, which no user has."""
    return inspect.unwrap(function)
