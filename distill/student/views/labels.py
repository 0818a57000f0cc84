"""A teacher's soft labels for each view of a set's items (FKD, Shen and Xing 2022)."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import chain

import torch
from jaxtyping import Float
from torch import Tensor

from distill.errors import UserError
from distill.sets.distilled import DistilledSet
from distill.sets.labels.top import TopLabels
from distill.sets.labels.views import ViewLabels
from distill.student.training import Student
from distill.student.views.schedule import ViewSchedule, choose_words, describe_views
from distill.student.views.settings import ViewOptions
from distill.student.views.top import choose_top

CHUNK = 256  # items that the teacher forwards at once


def label_views(data: DistilledSet, teacher: Student, options: ViewOptions, tau: float = 1.0) -> DistilledSet:
    """The set with labels softmax(teacher(view v of the items) / tau) for each view, and with fkd to train.

    Without --views it holds none. Costs as many passes of the teacher over the items as there are views, and
    4 · views · n · classes bytes of the file; with --top K two to six bytes for each of K values in place of
    four for each class. Raises UserError for items that are no images, an unknown change, a K that is none,
    and a teacher that answers no finite numbers.
    """
    if options.views is None:
        return replace(data, view_labels=None, views=None)
    schedule = ViewSchedule(choose_words(options.view_augment, data), options.view_seed)
    rows = (label_view(teacher, schedule.view(data.items, view), tau) for view in range(options.views))
    views = describe_views(schedule, data.items)
    return replace(data, view_labels=collect_labels(rows, options.top), views=views, protocol={"name": "fkd"})


def check_view_options(options: ViewOptions, data: DistilledSet) -> None:
    """Raise UserError for views of these items, or a K, that label_views() would refuse with any teacher."""
    if options.views is None:
        return
    ViewSchedule(choose_words(options.view_augment, data), options.view_seed)
    if options.top != "auto":
        choose_top(options.top, data.labels)


def collect_labels(rows: Iterator[Tensor], top: str | None) -> ViewLabels:
    """The labels of all views, of --top K the largest values of each; auto looks at those of the first."""
    first = next(rows)
    k, rows = choose_top(top, first), chain([first], rows)
    return torch.stack(list(rows)) if k is None else TopLabels.keep(rows, k)


def label_view(teacher: Student, items: Tensor, tau: float) -> Float[Tensor, "n classes"]:
    """label_items() of a view. Raises UserError where the teacher answers no finite numbers."""
    labels = label_items(teacher, items, tau)
    if not labels.isfinite().all():
        raise UserError("the teacher answers NaN or infinity for a changed view of the items: train it anew")
    return labels


def label_items(teacher: Student, items: Tensor, tau: float) -> Float[Tensor, "n classes"]:
    """A teacher's probabilities for items, its logits divided by tau."""
    logits = torch.cat([teacher.logits(part) for part in items.split(CHUNK)])
    return (logits / tau).softmax(dim=1).float()
