"""DCT: the lowest frequencies of each image, by the orthonormal cosine transform."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from distill.errors import UserError
from distill.outer.parametrisations.base import Codes, Parametrisation, check_axes, transform_axes
from distill.registry import option


@dataclass(frozen=True)
class DCT(Parametrisation):
    """The k × k lowest frequencies of the orthonormal DCT-II of each channel (as FreD, Shin et al. 2023).

    codes["items"] (n, c, k, k) decode to (n, c, h, w): x = Cᵀ z C with C the first k rows of the transform.
    FreD keeps, class by class, the frequencies that explain most of the variance of the real images; here
    they are the lowest, which need no mask in the file.
    """

    word: ClassVar[str] = "dct"

    frequencies: int | None = option(None, "K", above=0, at_most=10_000)
    """How many frequencies each image keeps of its height, and of its width (default: half of its shorter
    side, a quarter of the bytes)."""
    height: int = 0  # pixels of the decoded images
    width: int = 0

    def fit(self, n: int, shape: Sequence[int], classes: int) -> "DCT":
        super().fit(n, shape, classes)
        height, width = shape[1:]
        count = self.frequencies or max(1, min(height, width) // 2)
        if count > min(height, width):
            raise UserError(
                f"--frequencies {count} is more than images of {height}×{width} pixels have: give at most"
                f" {min(height, width)}"
            )
        return replace(self, frequencies=count, height=height, width=width)

    def encode(self, items: Float[Tensor, "n c h w"]) -> Codes:
        return {"items": transform_axes(items, *self.transforms())}

    def decode(self, codes: Codes) -> Float[Tensor, "n c h w"]:
        rows, columns = self.transforms()
        return transform_axes(codes["items"], rows.T, columns.T)

    def transforms(self) -> tuple[Tensor, Tensor]:
        """The matrices of the height and of the width, (k, h) and (k, w)."""
        count = self.frequencies or 0
        return cosine_transform(count, self.height), cosine_transform(count, self.width)

    def decoded_shape(self, codes: Codes) -> tuple[int, ...]:
        check_axes(codes, ["items"], 4)
        n, channels, *sizes = codes["items"].shape
        whole = type(self.height) is type(self.width) is int
        if not whole or sizes != [self.frequencies] * 2 or sizes[0] > min(self.height, self.width):
            raise ValueError(f"codes.items {sizes} are no frequencies of {self.height}×{self.width} pixels")
        return (n, channels, self.height, self.width)


def cosine_transform(count: int, size: int) -> Float[Tensor, "{count} {size}"]:
    """The first rows of the orthonormal DCT-II of so many pixels; float64."""
    frequency, place = torch.arange(count)[:, None], torch.arange(size, dtype=torch.float64)
    rows = math.sqrt(2 / size) * torch.cos(math.pi * (2 * place + 1) * frequency / (2 * size))
    return torch.cat([rows[:1] / math.sqrt(2), rows[1:]])
