"""A teacher's soft labels for each view of a set's items (FKD, Shen and Xing 2022)."""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from distill.errors import UserError
from distill.sets.distilled import DistilledSet
from distill.student.training import Student
from distill.student.views.schedule import ViewSchedule, choose_words, describe_views
from distill.student.views.settings import ViewOptions

CHUNK = 256  # items that the teacher forwards at once


def label_views(data: DistilledSet, teacher: Student, options: ViewOptions, tau: float = 1.0) -> DistilledSet:
    """The set with labels softmax(teacher(view v of the items) / tau) for each view, and with fkd to train.

    Without --views it holds none. Costs as many passes of the teacher over the items as there are views, and
    4 · views · n · classes bytes of the file. Raises UserError for items that are no images, an unknown
    change, and a teacher that answers no finite numbers.
    """
    if options.views is None:
        return replace(data, view_labels=None, views=None)
    schedule = ViewSchedule(choose_words(options.view_augment, data), options.view_seed)
    labels = torch.stack(
        [label_items(teacher, schedule.view(data.items, view), tau) for view in range(options.views)]
    )
    if not labels.isfinite().all():
        raise UserError("the teacher answers NaN or infinity for a changed view of the items: train it anew")
    views = describe_views(schedule, data.items)
    return replace(data, view_labels=labels, views=views, protocol={"name": "fkd"})


def label_items(teacher: Student, items: Tensor, tau: float) -> Float[Tensor, "n classes"]:
    """A teacher's probabilities for items, its logits divided by tau."""
    logits = torch.cat([teacher.logits(part) for part in items.split(CHUNK)])
    return (logits / tau).softmax(dim=1).float()
