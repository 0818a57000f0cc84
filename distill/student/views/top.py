"""How many values of each label --top keeps."""

from jaxtyping import Float
from torch import Tensor

from distill.errors import UserError, quote
from distill.sets.labels.top import bytes_per_label

SHARE = 0.99  # of the probability, which auto keeps
FEWEST_CLASSES = 32  # below, auto keeps labels whole: they take few bytes


def choose_top(top: str | None, labels: Float[Tensor, "n classes"]) -> int | None:
    """How many values of labels such as these --top keeps; None for all. Raises UserError."""
    if top is None or top == "auto":
        return None if top is None else find_top(labels)
    classes, k = labels.shape[1], int(top) if top.isdecimal() and len(top) < 10 else 0
    if not 1 <= k <= classes:
        raise UserError(f"--top must be auto or a whole number from 1 to {classes}, not {quote(top)}")
    if bytes_per_label(k, classes) >= 4 * classes:
        raise UserError(f"--top {k} of {classes:,} classes saves no bytes: give fewer, or leave it out")
    return k


def find_top(labels: Float[Tensor, "n classes"]) -> int | None:
    """The fewest values that on average hold 99 % of a label; None where they take over half of its bytes."""
    classes = labels.shape[1]
    held = labels.sort(dim=1, descending=True).values.double().cumsum(dim=1).mean(dim=0)
    k = min(int((held < SHARE).sum()) + 1, classes)
    saves = 2 * bytes_per_label(k, classes) <= 4 * classes
    return k if saves and classes >= FEWEST_CLASSES else None
