"""Checks of a set's labels per view, whole or by their largest values."""

from typing import Any

from torch import Tensor

from distill.errors import SetError
from distill.sets.labels.top import TopLabels
from distill.sets.metadata import check_types, is_finite_float32
from distill.sets.plain_types import Count

ViewLabels = Tensor | TopLabels


def check_views(view_labels: Any, views: Any, labels: Tensor) -> None:
    """Raise SetError unless labels per view are (views, n, classes), and the file says how views are made."""
    if view_labels is None and views is None:
        return
    shape = tuple(getattr(view_labels, "shape", ()))
    valid = isinstance(view_labels, TopLabels) or is_finite_float32(view_labels)
    if not valid or len(shape) != 3 or not shape[0] or shape[1:] != labels.shape:
        n, classes = labels.shape
        actual = "×".join(map(str, shape)) or f"a {type(view_labels).__name__}"
        raise SetError(f"view_labels must be finite float32 numbers, views × {n} × {classes}, not {actual}")
    if isinstance(view_labels, Tensor):
        check_probabilities(view_labels)
    if not isinstance(views, dict):
        raise SetError(
            f"views is a {type(views).__name__}: it must say how the views of view_labels are made"
        )
    check_types(views, {"augment": str, "seed": Count, "items": str}, "views")


def check_probabilities(view_labels: Tensor) -> None:
    """Raise SetError where a label of a view is no probabilities: below 0, or of another sum than one."""
    for view, labels in enumerate(view_labels):  # one by one: they may fill the memory
        worst = labels.sum(dim=1)[(labels.sum(dim=1) - 1).abs().argmax()]
        if bool((labels < 0).any()) or abs(float(worst) - 1) > 1e-3:
            raise SetError(
                f"view_labels of view {view} are not probabilities: their least value is"
                f" {float(labels.min()):.3g}, a label adds up to {float(worst):.4g}, and each must be at"
                " least 0 and add up to 1; of logits store the softmax"
            )
