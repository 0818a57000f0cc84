"""Pixels: the items are learned and stored as they are."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from jaxtyping import Float
from torch import Tensor

from distill.outer.parametrisations.base import Codes, Parametrisation


@dataclass(frozen=True)
class Pixels(Parametrisation):
    """The identity; it takes items of every kind."""

    word: ClassVar[str] = "pixels"

    def fit(self, n: int, shape: Sequence[int], classes: int) -> "Pixels":
        return self

    def encode(self, items: Float[Tensor, "m *item"]) -> Codes:
        return {"items": items}

    def decode(self, codes: Codes) -> Float[Tensor, "m *item"]:
        return codes["items"]

    def decoded_shape(self, codes: Codes) -> tuple[int, ...]:
        return tuple(codes["items"].shape)
