"""Differentiable siamese augmentation (Zhao and Bilen 2021, DSA): one random change for a whole batch.

The words of an augmentation are joined by dashes, as DSA writes them: "shift-scale-rotate". Each call draws
one of them, and its amount, from the generator.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from distill.errors import UserError, unknown

Images = Float[Tensor, "b channels height width"]
Change = Callable[[Images, Tensor], Images]  # three numbers in [-1, 1] say how


def warped(x: Images, a: float, b: float, c: float, d: float, right: float = 0, down: float = 0) -> Images:
    """x read at [[a, b], [c, d]] · place + (right, down), sides at ± 1; outside, the border goes on."""
    matrix = torch.tensor([[a, b, right], [c, d, down]], dtype=x.dtype, device=x.device)
    grid = F.affine_grid(matrix.expand(len(x), 2, 3), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


def shift(x: Images, r: Tensor) -> Images:
    """By up to an eighth of the side, both ways."""
    return warped(x, 1, 0, 0, 1, float(r[0]) / 4, float(r[1]) / 4)


def scale(x: Images, r: Tensor) -> Images:
    """By up to 1.2, each way on its own."""
    return warped(x, 1.2 ** float(r[0]), 0, 0, 1.2 ** float(r[1]))


def rotate(x: Images, r: Tensor) -> Images:
    """By up to 15 degrees."""
    turn = math.radians(15 * float(r[0]))
    return warped(x, math.cos(turn), -math.sin(turn), math.sin(turn), math.cos(turn))


def flip(x: Images, r: Tensor) -> Images:
    """Left for right, half of the time. Not for digits and letters."""
    return x.flip(3) if r[0] > 0 else x


def crop(x: Images, r: Tensor) -> Images:
    """By whole pixels, up to an eighth of the side, the border going on (no interpolation)."""
    most = [max(1, side // 8) for side in x.shape[2:]]
    down, right = (round(float(v) * m) for v, m in zip(r, most, strict=False))
    padded = F.pad(x, (most[1], most[1], most[0], most[0]), mode="replicate")
    return padded[:, :, most[0] + down :, most[1] + right :][:, :, : x.shape[2], : x.shape[3]]


def cutout(x: Images, r: Tensor) -> Images:
    """A square of a third of the side becomes the batch's mean (DeVries and Taylor 2017)."""
    height, width = x.shape[2:]
    sides = max(1, height // 3), max(1, width // 3)
    top, left = (round((float(v) + 1) / 2 * (n - k)) for v, n, k in zip(r, x.shape[2:], sides, strict=False))
    hole = torch.zeros(height, width, dtype=torch.bool, device=x.device)
    hole[top : top + sides[0], left : left + sides[1]] = True
    return torch.where(hole, x.mean(), x)


def color(x: Images, r: Tensor) -> Images:
    """Brightness by up to half a spread, saturation and contrast between 0.5 and 1.5."""
    grey, mean = x.mean(dim=1, keepdim=True), x.mean(dim=(1, 2, 3), keepdim=True)
    x = grey + (x - grey) * (1 + 0.5 * float(r[1]))
    return mean + (x - mean) * (1 + 0.5 * float(r[2])) + 0.5 * float(r[0])


CHANGES: dict[str, Change] = {
    "shift": shift, "scale": scale, "rotate": rotate, "flip": flip, "crop": crop, "cutout": cutout,
    "color": color,
}  # fmt: skip
Augment = Callable[[Images, torch.Generator], Images]


def augmentation(words: str) -> Augment:
    """The augmentation of these words; "" changes nothing. Raises UserError."""
    names = [name for name in words.split("-") if name]
    for name in names:
        if name not in CHANGES:
            raise UserError(unknown("augmentation", name, CHANGES))

    def augment(x: Images, generator: torch.Generator) -> Images:
        if not names:
            return x
        pick = int(torch.randint(len(names), (), generator=generator))
        return CHANGES[names[pick]](x, 2 * torch.rand(3, generator=generator) - 1)

    return augment
