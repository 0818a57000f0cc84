"""The protocol of labels per augmentation: each epoch is one view of the items, with its stored labels."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from distill.errors import UserError
from distill.registry import EPOCHS, ITEMS, RATE, check_options, option, python_name
from distill.sets.distilled import DistilledSet
from distill.sets.labels.top import TopLabels
from distill.sets.labels.views import ViewLabels
from distill.sets.public.training import Targets
from distill.student.protocols.base import Plan, PlannedProtocol
from distill.student.protocols.frepo import warm_up_and_fall
from distill.student.protocols.standard import count_passes
from distill.student.protocols.targets import CROSS_ENTROPY
from distill.student.views.schedule import ViewSchedule, read_schedule

WEIGHT_DECAY = 0.01  # of AdamW, as SRe2L's students have


@dataclass(frozen=True)
class FKD(PlannedProtocol):
    """Fast knowledge distillation (Shen and Xing 2022) with the optimiser of SRe2L's students.

    AdamW 1e-3, weight decay 0.01, a cosine to zero, batches of 128, cross-entropy to the soft labels that
    the set stores for each view of its items. Epoch e trains on view e; after the last view the first comes
    again. epochs: by default as many as there are views. augment: auto, or the changes of the stored views,
    since labels hold for these alone.
    """

    epochs: int | None = option(None, **EPOCHS)
    lr: float = option(0.001, **RATE)
    batch: int = option(128, **ITEMS)
    augment: str = option("auto")

    def __post_init__(self) -> None:
        check_options(self, python_name)

    def plan(self, data: DistilledSet) -> Plan:
        """The training on this set. Raises UserError for one without labels per view, or of other changes."""
        schedule, labels = read_schedule(data)
        if self.augment not in ("auto", schedule.words):
            raise UserError(
                f"the labels per view are of the changes {schedule.words}, not of {self.augment:.80}: leave"
                " augment out, or store others by `distill relabel --views`"
            )
        kept = f", {labels.words}" if isinstance(labels, TopLabels) else ""
        remark = f"targets are the labels stored for {len(labels)} views ({schedule.words}){kept}"
        steps = (self.epochs or len(labels)) * count_passes(data, self.batch)
        return Plan(
            Targets(data.labels, remark, CROSS_ENTROPY),
            partial(torch.optim.AdamW, lr=self.lr, weight_decay=WEIGHT_DECAY),
            warm_up_and_fall(steps, 0, 0.0),
            self.batch,
            batches=partial(draw_views, data.items, labels, schedule, self.batch),
        )


def draw_views(
    items: Tensor, labels: ViewLabels, schedule: ViewSchedule, size: int, generator: torch.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Minibatches of one view after the other, without end, each view in a new order."""
    view = 0
    while True:
        x = schedule.view(items, view)
        for rows in torch.randperm(len(items), generator=generator).split(size):
            yield x[rows], labels[view, rows]
        view = (view + 1) % len(labels)
