"""Synthetic: the learned items, labels and learning rates, and the schedule of steps."""

from dataclasses import dataclass, field, replace
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from distill.inner.step import Step, extend_steps


@dataclass(frozen=True)
class Synthetic:
    """The raw tensors that the outer loop learns, and how steps are made from them.

    items (n, *item) are used as they are. labels (n, classes) are used as they are ("soft": signed
    and unnormalised, Sucholutsky and Schonlau 2019), through a softmax, or not learned ("hard").
    raw_lrs hold the softplus inverse of the learning rates: (T,) one per step, or (T, g) one per
    step and parameter tensor. schedule (T, b) says which items each step uses. Soft labels are used
    label_scale times as large as they are learned; where they are those of a regression,
    softmax(softmax_scale · targets()) are shares. extra holds what a method learns beside them.
    """

    items: Float[Tensor, "n *item"]
    labels: Float[Tensor, "n classes"]
    raw_lrs: Float[Tensor, " T"] | Float[Tensor, "T g"]
    schedule: Int[Tensor, "T b"]
    label_map: str = "soft"
    label_scale: float = 1.0
    extra: dict[str, Tensor] = field(default_factory=dict)
    softmax_scale: float | None = None
    fixed_items: bool = False  # the items are not learned

    def tensors(self) -> dict[str, Tensor]:
        """The learned groups "items", "labels" and "lrs" (raw), extra; no fixed items, no hard labels."""
        groups = {"items": self.items, "labels": self.labels, "lrs": self.raw_lrs, **self.extra}
        if self.label_map == "hard":
            del groups["labels"]
        if self.fixed_items:
            del groups["items"]
        return groups

    def replace_tensors(self, tensors: dict[str, Tensor]) -> "Synthetic":
        """The same set-up with other learned tensors, named as in tensors()."""
        fields = {"items": "items", "labels": "labels", "lrs": "raw_lrs"}
        changes: dict[str, Any] = {fields[k]: tensor for k, tensor in tensors.items() if k in fields}
        extra = {name: tensors.get(name, tensor) for name, tensor in self.extra.items()}
        return replace(self, **changes, extra=extra)

    def targets(self) -> Float[Tensor, "n classes"]:
        """The labels as the inner loss takes them."""
        if self.label_map == "softmax":
            return self.labels.softmax(dim=1)
        return self.labels if self.label_scale == 1 else self.label_scale * self.labels

    def lrs(self) -> Float[Tensor, " T"] | Float[Tensor, "T g"]:
        """The positive learning rate of each step."""
        return F.softplus(self.raw_lrs)

    def steps(self, count: int | None = None) -> list[Step]:
        """One Step per row of the schedule, or `count` of them: differentiable in all learned tensors.

        Beyond the schedule's end its rows come round again, at the last step's learning rate.
        """
        targets, lrs = self.targets(), self.lrs()
        steps = [Step(self.items[row], targets[row], lr) for row, lr in zip(self.schedule, lrs, strict=True)]
        return extend_steps(steps, count)


def inverse_softplus(lrs: Tensor) -> Tensor:
    """The raw numbers whose softplus are these positive learning rates."""
    return lrs.double().expm1().log().float()


def cyclic_schedule(n: int, batch: int, steps: int) -> Int[Tensor, "{steps} {batch}"]:
    """The items in order, batch by batch, again and again; ValueError where batch does not divide n."""
    if n % batch:
        raise ValueError(f"{n} items do not divide into batches of {batch}: choose a divisor of {n}")
    return torch.arange(n).view(-1, batch)[torch.arange(steps) % (n // batch)]
