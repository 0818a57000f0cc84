"""history.pt: what the learned items looked like at a few outer steps of a run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distill.errors import RunError, SetError
from distill.report.items import FIRST, Look, few
from distill.sets.storage import read_tensors, write_tensors

FORMAT = "distill-history/1"


def due(step: int) -> bool:
    """At the start, and at 8, 16, 32 …: about a dozen looks at a run, whatever its length."""
    return step == 0 or (step >= FIRST and step & (step - 1) == 0)


def keep(
    folder: Path, step: int, items: Tensor, labels: Tensor, text: Callable[[Tensor], dict[str, Any] | None]
) -> None:
    """Where a look is due, add it to history.pt, in the place of any later ones: a killed run left those.

    text(items) tells the nearest words of items that have some. Raises SetError on a full disk, RunError.
    """
    if not due(step):
        return
    some = items[: few(items)].detach().cpu()
    facts = text(some) or {}
    look = {
        "step": step,
        "items": some.clamp(-6e4, 6e4).half(),
        "labels": labels[: len(some)].detach().cpu(),
        "nearest": facts.get("nearest"),
    }
    before = [look for look in read(folder) if look["step"] < step]
    write_tensors(folder / "history.pt", {"format": FORMAT, "looks": [*before, look]})


def read(folder: Path) -> list[Look]:
    """The looks of a run in order; none where it kept none. Raises RunError."""
    path = folder / "history.pt"
    if not path.is_file():
        return []
    try:
        looks = read_tensors(path, "cpu", FORMAT).get("looks")
    except SetError as error:
        raise RunError(f"{error}: remove it to go on without") from None
    if not isinstance(looks, list) or not all(map(whole, looks)):
        raise RunError(f"{path} is damaged: remove it to go on without")
    return sorted(looks, key=lambda look: look["step"])


def whole(look: Any) -> bool:
    """Whether a look has a step, and items and labels that are finite and as many."""
    if not isinstance(look, dict) or type(look.get("step")) is not int:
        return False
    items, labels = look.get("items"), look.get("labels")
    if not (isinstance(items, Tensor) and isinstance(labels, Tensor)) or items.ndim < 2 or labels.ndim != 2:
        return False
    finite = all(t.is_floating_point() and bool(torch.isfinite(t).all()) for t in (items, labels))
    return finite and len(items) == len(labels) > 0
