"""results.pth of dataset distillation (Wang et al. 2018) and of SLDD (Sucholutsky and Schonlau 2019).

The repositories are SsnL/dataset-distillation and its fork by ilia10000. The file is a list of
(data, label, lr), one per step of plain gradient descent: save_results() of utils/io.py writes get_steps(),
the steps of all epochs in their order.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from distill.errors import SetError
from distill.sets.formats.base import PublicSet, SourceFile, is_numeric
from distill.sets.public.normalisation import SSNL_MOMENTS, simplify_name
from distill.sets.public.training import Schedule, Targets, Training, encode_classes


def matches(file: SourceFile) -> bool:
    """Whether a file holds a list of steps."""
    content = file.tensors
    return isinstance(content, list) and bool(content) and all(map(is_step, content))


def is_step(value: Any) -> bool:
    """Whether a value is (data, label, lr)."""
    return isinstance(value, tuple | list) and len(value) == 3 and all(map(is_numeric, value))


def read_public(file: SourceFile, experiment: int = -1) -> PublicSet:
    """The steps of the file. Steps with the data and labels of an earlier step share its items."""
    check_steps(file.tensors, file.path)
    unique: list[tuple[Tensor, Tensor]] = []
    order = []
    for x, y, _ in file.tensors:
        equal = (k for k, (a, b) in enumerate(unique) if torch.equal(a, x) and torch.equal(b, y))
        order.append(next(equal, len(unique)))
        if order[-1] == len(unique):
            unique.append((x, y))
    batch = len(unique[0][0])
    return PublicSet(
        project="SsnL/dataset-distillation",
        items=torch.cat([x for x, _ in unique]).detach(),
        labels=torch.cat([y for _, y in unique]).detach(),
        training=StoredSteps(
            schedule=torch.tensor(order)[:, None] * batch + torch.arange(batch),
            lrs=torch.stack([lr.detach().float().reshape(()) for _, _, lr in file.tensors]),
        ),
        remarks=("its weights are new ones: the file holds no fixed initialisation",),
    )


def check_steps(steps: list[Any], path: Path) -> None:
    """Raise SetError where steps have different shapes, or data that are no batch of items."""
    first_x, first_y, _ = steps[0]
    for t, (x, y, lr) in enumerate(steps, 1):
        if x.shape != first_x.shape or y.shape != first_y.shape or x.shape[:1] != y.shape[:1]:
            raise SetError(
                f"{path}: step {t} has data {list(x.shape)} and labels {list(y.shape)}, unlike step 1"
            )
        if lr.numel() != 1:
            raise SetError(f"{path}: step {t} has {lr.numel()} learning rates: one is needed")
    if first_x.ndim == 0:
        raise SetError(f"{path}: the data of its steps are single numbers, not images")


@dataclass(frozen=True)
class StoredSteps(Training):
    """train_steps_inplace() of the project: w -= lr · gradient for each stored step, in the stored order."""

    schedule: Tensor
    lrs: Tensor

    moments = SSNL_MOMENTS
    weight_init = "xavier"
    rule: ClassVar[Mapping[str, Any]] = {"rule": "sgd"}

    def make_targets(self, labels: Tensor, classes: int) -> Targets:
        """One-hot for class numbers; learned labels as they are: SLDD's loss is the mean of -Σ y log p."""
        if classes == 2:
            raise SetError(
                "for two classes the project's networks have one output, those of distill have two:"
                " the training would not be the same"
            )
        return Targets(labels.float() if labels.is_floating_point() else encode_classes(labels, classes))

    def make_schedule(self, n: int, dataset: str, epochs: int | None, lr: float | None) -> Schedule:
        """The stored steps, `epochs` times."""
        lrs, times = self.lrs if lr is None else torch.full_like(self.lrs, lr), epochs or 1
        return Schedule(self.schedule.repeat(times, 1), lrs.repeat(times))

    def choose_augmentation(self, dataset: str) -> tuple[str, str]:
        """None."""
        return "", ""

    def choose_network(self, dataset: str, shape: Sequence[int]) -> tuple[str, dict[str, Any]]:
        """AlexCifarNet for CIFAR-10, else LeNet."""
        return "alexcifarnet" if simplify_name(dataset) == "cifar10" else "lenet", {}
