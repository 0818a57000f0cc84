"""Synthetic: the learned items, labels and learning rates, and the schedule of steps."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from distill.inner.attention import ATTENTION
from distill.inner.step import Step, add_attention, extend_steps
from distill.outer.parametrisations.base import Parametrisation
from distill.outer.parametrisations.pixels import Pixels


@dataclass(frozen=True)
class StepSequence(Sequence[Step]):
    """Steps, each made when it is asked for: its items are copies, and a pool takes only a few of them."""

    items: Float[Tensor, "n *item"]
    targets: Float[Tensor, "n classes"]
    lrs: Float[Tensor, " T"] | Float[Tensor, "T g"]
    schedule: Int[Tensor, "T b"]

    def __len__(self) -> int:
        return len(self.schedule)

    def __getitem__(self, i: Any) -> Any:
        row = self.schedule[i]
        return Step(self.items[row], self.targets[row], self.lrs[i])


@dataclass(frozen=True)
class Synthetic:
    """The raw tensors that the outer loop learns, and how steps are made from them.

    items (n, *item) are what networks train on, decoded from the codes by the parametrisation; without codes
    they are learned as they are. labels (n, classes) are used as they are ("soft": signed
    and unnormalised, Sucholutsky and Schonlau 2019), through a softmax, or not learned ("hard").
    raw_lrs hold the softplus inverse of the learning rates: (T,) one per step, or (T, g) one per
    step and parameter tensor. schedule (T, b) says which items each step uses. Soft labels are used
    label_scale times as large as they are learned; where they are those of a regression,
    softmax(softmax_scale · targets()) are shares. extra holds what else is learned: attention labels, and
    what a method adds. Where items
    share labels, only the first label_rows rows are learned, and the others repeat them.
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
    parametrisation: Parametrisation = field(default_factory=Pixels)
    codes: dict[str, Tensor] = field(default_factory=dict)
    merged: int = 1  # so many steps of the schedule in a row are taken as one, at the sum of their rates

    @property
    def item_codes(self) -> dict[str, Tensor]:
        """The codes of which the items are decoded: the items themselves, where there are none."""
        return self.codes or {"items": self.items}

    @property
    def label_rows(self) -> int:
        """How many labels are learned: item i has that of row i modulo so many."""
        return len(self.labels) // self.parametrisation.items_per_label

    def tensors(self) -> dict[str, Tensor]:
        """The learned groups: the codes ("items" first), "labels" and "lrs" (raw), and extra.

        No codes of fixed items, no hard labels.
        """
        labels = self.labels if self.label_rows == len(self.labels) else self.labels[: self.label_rows]
        groups = {**self.item_codes, "labels": labels, "lrs": self.raw_lrs, **self.extra}
        if self.label_map == "hard":
            del groups["labels"]
        return {k: t for k, t in groups.items() if not (self.fixed_items and k in self.item_codes)}

    def replace_tensors(self, tensors: dict[str, Tensor]) -> "Synthetic":
        """The same set-up with other learned tensors, named as in tensors(); items are decoded anew."""
        changes: dict[str, Any] = {}
        if new_codes := {name: tensors[name] for name in self.item_codes if name in tensors}:
            codes = {**self.item_codes, **new_codes}
            changes = {"codes": codes, "items": self.parametrisation.decode(codes)}
        if "labels" in tensors:
            copies = len(self.labels) // len(tensors["labels"])
            changes["labels"] = tensors["labels"] if copies == 1 else tensors["labels"].repeat(copies, 1)
        extra = {name: tensors.get(name, tensor) for name, tensor in self.extra.items()}
        return replace(self, **changes, raw_lrs=tensors.get("lrs", self.raw_lrs), extra=extra)

    def with_items(self, items: Float[Tensor, "n *item"]) -> "Synthetic":
        """The same set with these items for networks, as augmented ones; what is learned stays."""
        return replace(self, items=items)

    def encode(self, items: Float[Tensor, "n *item"]) -> "Synthetic":
        """The same set with the codes that come nearest to these items."""
        # contiguous, as a checkpoint reads them: sums over another layout have other last bits
        codes = {name: code.contiguous() for name, code in self.parametrisation.encode(items).items()}
        return replace(self, codes=codes, items=self.parametrisation.decode(codes))

    def targets(self) -> Float[Tensor, "n classes"]:
        """The labels as the inner loss takes them."""
        if self.label_map == "softmax":
            return self.labels.softmax(dim=1)
        return self.labels if self.label_scale == 1 else self.label_scale * self.labels

    def lrs(self) -> Float[Tensor, " T"] | Float[Tensor, "T g"]:
        """The positive learning rate of each step."""
        lrs = F.softplus(self.raw_lrs)
        return lrs if self.merged == 1 else lrs.unflatten(0, (-1, self.merged)).sum(1)

    def attention(self) -> Float[Tensor, "n length"] | None:
        """The attention labels, each a distribution over the positions of its item; None without them."""
        return self.extra[ATTENTION].softmax(dim=1) if ATTENTION in self.extra else None

    def merge(self, count: int) -> "Synthetic":
        """The same learned tensors with so many steps in a row as one: a shorter training, about as far.

        For schedules whose steps have all items, and a length that count divides.
        """
        return replace(self, merged=count)

    @property
    def step_count(self) -> int:
        """How many steps the training has."""
        return len(self.schedule) // self.merged

    @property
    def period(self) -> int:
        """After how many steps the schedule begins anew; its length, where it does not."""
        return find_period(self.schedule, len(self.items))

    def steps(self, count: int | None = None) -> list[Any]:
        """One Step per row of the schedule, or `count` of them: differentiable in all learned tensors.

        Beyond the schedule's end its rows come round again, at the last step's learning rate.
        """
        targets, lrs, attention = self.targets(), self.lrs(), self.attention()
        batches = [(self.items[row], targets[row]) for row in self.schedule[: self.period]]
        steps = [Step(*batches[t % len(batches)], lr) for t, lr in enumerate(lrs)]
        if attention is not None:
            rows = [attention[row] for row in self.schedule[: self.period]]
            return extend_steps(add_attention(steps, rows), count)
        return extend_steps(steps, count)

    def step_sequence(self) -> StepSequence:
        """The same steps, each made when it is asked for."""
        return StepSequence(self.items, self.targets(), self.lrs(), self.schedule)


@lru_cache(maxsize=8)
def find_period(schedule: Int[Tensor, "T b"], n: int) -> int:
    """After how many steps a schedule of n items begins anew, found once: a GPU would be waited for."""
    period = n // schedule.shape[1]
    is_cyclic = torch.equal(schedule[period:], schedule[:-period])
    return period if is_cyclic and period < len(schedule) else len(schedule)


def inverse_softplus(lrs: Tensor) -> Tensor:
    """The raw numbers whose softplus are these positive learning rates."""
    return lrs.double().expm1().log().float()


def cyclic_schedule(n: int, batch: int, steps: int) -> Int[Tensor, "{steps} {batch}"]:
    """The items in order, batch by batch, again and again; ValueError where batch does not divide n."""
    if n % batch:
        raise ValueError(f"{n} items do not divide into batches of {batch}: choose a divisor of {n}")
    return torch.arange(n).view(-1, batch)[torch.arange(steps) % (n // batch)]
