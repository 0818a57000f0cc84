"""Bases: each image is a mixture of a few shared ones (addressable memories)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from distill.errors import UserError
from distill.outer.parametrisations.base import Codes, Parametrisation, check_axes
from distill.registry import option

BASES = "bases"  # the name of the shared images among the codes


@dataclass(frozen=True)
class Bases(Parametrisation):
    """Shared bases and addresses (Deng and Russakovsky 2022, section 3.1): items = coefficients · bases.

    codes["items"] (n, b) are the coefficients, codes["bases"] (b, c, h, w) the images that are mixed. The
    paper learns one address matrix per item of a class for all classes; here each item has its own row. They
    start as the b largest singular directions of the start's items, the coefficients with a mean square of 1,
    so that one learning rate suits both.
    """

    word: ClassVar[str] = "bases"

    bases: int | None = option(None, "COUNT", above=0, at_most=100_000)
    """How many images are shared by the --n that are mixed from them (default: one per class, at most n)."""

    def fit(self, n: int, shape: Sequence[int], classes: int) -> "Bases":
        super().fit(n, shape, classes)
        count, pixels = self.bases or min(n, classes, math.prod(shape)), math.prod(shape)
        if count > min(n, pixels):
            limit = f"--n {n} images" if n <= pixels else f"the {pixels} numbers of an image"
            raise UserError(f"--bases {count} is more than {limit}: give at most {min(n, pixels)}")
        return replace(self, bases=count)

    def encode(self, items: Float[Tensor, "n c h w"]) -> Codes:
        left, values, right = torch.linalg.svd(items.flatten(1).double(), full_matrices=False)
        scale, count = math.sqrt(len(items)), self.bases
        bases = (values[:count, None] * right[:count] / scale).unflatten(1, items.shape[1:])
        return {"items": (scale * left[:, :count]).to(items), BASES: bases.to(items)}

    def decode(self, codes: Codes) -> Float[Tensor, "n c h w"]:
        bases, coefficients = codes[BASES], codes["items"].contiguous()  # as a file: the same bits from both
        return (coefficients @ bases.flatten(1)).unflatten(1, bases.shape[1:])

    def decoded_shape(self, codes: Codes) -> tuple[int, ...]:
        check_axes(codes, ["items", BASES], 2)
        coefficients, bases = codes["items"], codes[BASES]
        if bases.ndim != 4 or not len(bases) == coefficients.shape[1] == self.bases:
            raise ValueError(f"codes.bases {tuple(bases.shape)} are no bases of {tuple(coefficients.shape)}")
        return (len(coefficients), *bases.shape[1:])
