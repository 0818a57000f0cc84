"""Targets: what a protocol's loss gets in the place of a set's labels, and one sentence that says so.

The learned labels of a set are made for its own inner loss. Another loss may need other numbers: a soft
cross-entropy, -Σ_c y_c log p_c, has no lower bound where a y_c is negative, so training goes on to lower it
for ever and the network is lost.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from distill.errors import UserError, unknown
from distill.inner import INNER_LOSSES
from distill.sets.distilled import DistilledSet
from distill.sets.public.training import Targets, are_shares
from distill.student import LABELS

CROSS_ENTROPY, SQUARED_ERROR = INNER_LOSSES
Labels = Float[Tensor, "n classes"]


def choose_targets(data: DistilledSet, loss: str, labels: str = "auto", scale: float = 1.0) -> Targets:
    """The targets (n, classes) of a loss, its word in INNER_LOSSES, and a remark ("" for labels as they are).

    labels is a word of LABELS. scale: of the targets of a squared error that are made of shares. Raises
    UserError for a map or a loss of another name, and for labels that leave the loss without a lower bound.
    """
    if labels not in LABELS:
        raise UserError("labels: " + unknown("label map", labels, LABELS))
    if loss not in INNER_LOSSES:
        raise UserError(unknown("loss", loss, INNER_LOSSES))
    if loss == SQUARED_ERROR:
        return choose_regression_targets(data, labels, scale)
    targets, remark = choose_shares(data, labels)
    return Targets(targets, remark, CROSS_ENTROPY)


def choose_regression_targets(data: DistilledSet, labels: str, scale: float) -> Targets:
    """Targets of a squared error, which is bounded for any: those of a regression's set as they are.

    Of other sets scale · (shares - 1 / classes), the centred targets of Zhou et al. 2022 (FRePo).
    """
    if labels == "soft" or (labels == "auto" and data.inner["loss"] == SQUARED_ERROR):
        return Targets(data.labels, "", SQUARED_ERROR)
    shares, remark = choose_shares(data, labels)
    formula = f"targets of the squared error are {scale:g} · (shares - 1 / {shares.shape[1]})"
    sentence = "; ".join(part for part in (remark, formula) if part)
    return Targets(scale * (shares - 1 / shares.shape[1]), sentence, SQUARED_ERROR)


def choose_shares(data: DistilledSet, labels: str) -> tuple[Labels, str]:
    """Targets of a cross-entropy, which bound it from below, and the remark. Raises UserError."""
    word = choose_map(data) if labels == "auto" else labels
    targets, remark = MAPS[word](data)
    if labels == "auto" and word == "hard":
        remark += ": signed labels leave a cross-entropy without a lower bound, and no scale of a softmax is"
        remark += " known for them"
    if labels == "auto" and word == "softmax" and "softmax_scale" not in data.inner:
        remark += ": signed labels leave a cross-entropy without a lower bound, and as hard labels they would"
        remark += " never teach some classes"
    return targets, remark


def choose_map(data: DistilledSet) -> str:
    """The word of "auto" for a cross-entropy: the file's scale, else shares as they are, else hard ones.

    Labels that are not negative, of a set for cross-entropy, are as good as shares: the loss is bounded.
    Signed ones become hard, because their scale is that of their own few steps: of the ten images of
    mnist-10-random, hard labels give 71.8 % by dc, the labels as they are 32.6 %. Where some class is the
    largest label of no item, as with fewer items than classes, they become softmax(labels).
    """
    if "softmax_scale" in data.inner:
        return "softmax"
    if are_shares(data.labels):
        return "soft"
    if data.inner["loss"] == CROSS_ENTROPY and bool((data.labels >= 0).all()):
        return "soft"
    check_known_loss(data)
    return "softmax" if list_untaught(data) else "hard"


def check_known_loss(data: DistilledSet) -> None:
    """Raise UserError for signed labels of a loss of the user's own, whose meaning no protocol knows."""
    if data.inner["loss"] not in INNER_LOSSES:
        raise UserError(
            f"the labels of the set are for a loss of your own, {data.inner['loss']:.40}, and signed: say"
            " what a protocol shall make of them by labels, which is hard, softmax or clipped"
        )


def list_untaught(data: DistilledSet) -> list[str]:
    """The classes that are the largest label of no item."""
    largest = set(data.labels.argmax(dim=1).tolist())
    return [name for k, name in enumerate(data.source["classes"]) if k not in largest]


def harden(labels: Labels) -> Labels:
    """One-hot rows of the largest label in each row."""
    return F.one_hot(labels.argmax(dim=1), labels.shape[1]).to(labels)


def make_hard(data: DistilledSet) -> tuple[Labels, str]:
    """One-hot rows of the largest label."""
    missing, classes = list_untaught(data), data.labels.shape[1]
    count = f", which never teach {len(missing)} of {classes} classes" if missing else ""
    return harden(data.labels), f"targets are hard labels{count}"


def keep_soft(data: DistilledSet) -> tuple[Labels, str]:
    """The labels as they are. Raises UserError where one is negative."""
    if bool((data.labels < 0).any()):
        raise UserError(
            "the set's labels are signed, and leave a cross-entropy without a lower bound: use labels hard,"
            " softmax or clipped, or a protocol of the squared error, such as frepo"
        )
    return data.labels, "" if are_shares(data.labels) else "targets are the labels as they are, not negative"


def make_softmax(data: DistilledSet) -> tuple[Labels, str]:
    """softmax(softmax_scale · labels), the scale that the file gives, else 1."""
    scale = data.inner.get("softmax_scale", 1.0)
    return (scale * data.labels).softmax(dim=1), f"targets are softmax({scale:g} · labels)"


def make_clipped(data: DistilledSet) -> tuple[Labels, str]:
    """The positive part of the labels, divided by its sum; the largest label alone where none is positive."""
    positive = data.labels.clamp(min=0)
    totals = positive.sum(dim=1, keepdim=True)
    shares = positive / totals.clamp(min=torch.finfo(positive.dtype).tiny)
    shares = torch.where(totals > 0, shares, make_hard(data)[0])
    return shares, "targets are the positive parts of the labels, as shares"


MAPS: dict[str, Callable[[DistilledSet], tuple[Labels, str]]] = {
    "hard": make_hard, "soft": keep_soft, "softmax": make_softmax, "clipped": make_clipped,
}  # fmt: skip
