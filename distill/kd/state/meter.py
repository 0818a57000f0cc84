"""Meters: means over an epoch's batches of what a learner's turn did, for the log of a run."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor


class Meter:
    """Sums over batches of a turn's loss, of its rate, and of each summand's weight and value.

    Of summands that distil logits, also of the share of regularisation samples, which is None for others.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Begin an epoch."""
        self.count, self.loss, self.rate = 0, 0.0, 0.0
        self.weights, self.values, self.shares = list[float](), list[float](), list[float | None]()

    def add_summands(
        self, weights: Sequence[float], values: Sequence[Tensor], shares: Sequence[float | None]
    ) -> None:
        """Add a batch's weights, unweighted values and shares of the losses that make up the turn's."""
        numbers = torch.stack([value.detach() for value in values]).tolist()
        self.weights = add(self.weights, weights)
        self.values = add(self.values, numbers)
        before = self.shares or [0.0] * len(shares)
        self.shares = [None if b is None or a is None else a + b for a, b in zip(before, shares, strict=True)]

    def add_batch(self, loss: float, rate: float) -> None:
        """Add a batch's loss, and the rate of the optimiser's first group."""
        self.count, self.loss, self.rate = self.count + 1, self.loss + loss, self.rate + rate

    def means(self) -> dict[str, Any]:
        """{"loss", "lr", "losses": [{"weight", "value", "regularising"} …]} of the epoch so far."""
        sums = zip(self.weights, self.values, self.shares, strict=True)
        losses = [
            {"weight": w / self.count, "value": v / self.count}
            | ({"regularising": share / self.count} if share is not None else {})
            for w, v, share in sums
        ]
        return {"loss": self.loss / self.count, "lr": self.rate / self.count, "losses": losses}

    def state_dict(self) -> dict[str, Any]:
        """What load_state_dict() needs to go on."""
        return dict(vars(self))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what state_dict() returned."""
        self.count, self.loss, self.rate = state["count"], state["loss"], state["rate"]
        for name in ("weights", "values", "shares"):
            setattr(self, name, list(state[name]))


def add(sums: Sequence[float], values: Sequence[float]) -> list[float]:
    """The sums with values added; the values themselves where there are no sums yet."""
    return [a + b for a, b in zip(sums, values, strict=True)] if sums else list(values)
