"""Multi-formation: several small images in each stored one, enlarged when they are used (IDC)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from distill.errors import UserError
from distill.outer.parametrisations.base import (
    Codes,
    Parametrisation,
    check_axes,
    invert_columns,
    transform_axes,
)
from distill.registry import option

STORED, DECODED = "stored", "decoded"


@dataclass(frozen=True)
class MultiFormation(Parametrisation):
    """IDC's uniform multi-formation (Kim et al. 2022, section 3.3): f × f images in one, enlarged bilinearly.

    codes["items"] (n, c, h, w) decode to (f² · n, c, h, w): item p · n + i is part p of stored image i, the
    parts row by row. So items follow each other as the stored images do, again and again, and a batch holds
    many classes.
    """

    word: ClassVar[str] = "multi-formation"

    factor: int = option(2, "F", above=0, at_most=1000)
    """How many smaller images lie side by side in a stored one: F × F of them. IDC has 2 for images of 28 and
    32 pixels, 3 for larger ones."""
    label_per: str = option(STORED, "IMAGE", choices=(STORED, DECODED), noun="image")
    """stored: the images in a stored one share its class and its learned label, as in IDC; decoded: each has
    its own, so that one stored image can show several classes."""

    @property
    def items_per_stored(self) -> int:
        return self.factor**2

    @property
    def items_per_label(self) -> int:
        return self.factor**2 if self.label_per == STORED else 1

    def fit(self, n: int, shape: Sequence[int], classes: int) -> Parametrisation:
        fitted = super().fit(n, shape, classes)
        height, width = shape[1:]
        if height % self.factor or width % self.factor:
            raise UserError(
                f"--factor {self.factor} does not divide images of {height}×{width} pixels: choose a divisor"
                " of both"
            )
        return fitted

    def encode(self, items: Float[Tensor, "m c h w"]) -> Codes:
        small = [invert_columns(enlargement(size, size // self.factor)) for size in items.shape[2:]]
        parts = transform_axes(items, *small).unflatten(0, (self.factor, self.factor, -1))
        return {"items": parts.permute(2, 3, 0, 4, 1, 5).flatten(4).flatten(2, 3)}

    def decode(self, codes: Codes) -> Float[Tensor, "m c h w"]:
        x = codes["items"]
        parts = x.unflatten(3, (self.factor, -1)).unflatten(2, (self.factor, -1))  # n, c, f, h / f, f, w / f
        small = parts.permute(2, 4, 0, 1, 3, 5).flatten(0, 2)
        return transform_axes(small, *(enlargement(size, size // self.factor) for size in x.shape[2:]))

    def decoded_shape(self, codes: Codes) -> tuple[int, ...]:
        check_axes(codes, ["items"], 4)
        n, channels, height, width = codes["items"].shape
        if height % self.factor or width % self.factor:
            raise ValueError(f"codes.items of {height}×{width} pixels do not divide by {self.factor}")
        return (self.factor**2 * n, channels, height, width)


def enlargement(size: int, small: int) -> Float[Tensor, "{size} {small}"]:
    """The matrix that enlarges a row of pixels linearly, as F.interpolate does; float64.

    A matrix product has the same bits each time on a GPU too, which the gradient of F.interpolate has not.
    """
    rows = torch.eye(small, dtype=torch.float64)[None]
    return F.interpolate(rows, size=size, mode="linear", align_corners=False)[0].T
