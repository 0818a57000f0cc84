"""One random change for a whole batch of images, where the border goes on beyond the image.

The words of AUGMENTATIONS are joined by dashes, "shift-scale-rotate"; those of IMAGE_CHANGES may stand among
them. Each call draws one of them, and three numbers r in [-1, 1] that say how much, from the generator.
"""

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from distill.data import AUGMENTATIONS, IMAGE_CHANGES
from distill.data.augment.each import Augment, Images, pick_one
from distill.registry import find

Transform = Callable[[Images, Tensor], Images]  # the second argument holds three numbers in [-1, 1]: how much


def warp(x: Images, a: float, b: float, c: float, d: float, right: float = 0, down: float = 0) -> Images:
    """x read at [[a, b], [c, d]] · place + (right, down), the sides at ± 1; outside, the border goes on."""
    matrix = torch.tensor([[a, b, right], [c, d, down]], dtype=x.dtype, device=x.device)
    grid = F.affine_grid(matrix.expand(len(x), 2, 3), list(x.shape), align_corners=False)
    return F.grid_sample(x, grid, padding_mode="border", align_corners=False)


def shift(x: Images, r: Tensor) -> Images:
    """Moved by up to an eighth of the side, both ways."""
    return warp(x, 1, 0, 0, 1, float(r[0]) / 4, float(r[1]) / 4)


def scale(x: Images, r: Tensor) -> Images:
    """Height and width, each larger or smaller by up to 1.2."""
    return warp(x, 1.2 ** float(r[0]), 0, 0, 1.2 ** float(r[1]))


def rotate(x: Images, r: Tensor) -> Images:
    """Turned by up to 15 degrees."""
    angle = math.radians(15 * float(r[0]))
    return warp(x, math.cos(angle), -math.sin(angle), math.sin(angle), math.cos(angle))


def flip(x: Images, r: Tensor) -> Images:
    """Left for right, half of the time. Not for digits and letters."""
    return x.flip(3) if r[0] > 0 else x


def crop(x: Images, r: Tensor) -> Images:
    """Moved by whole pixels, up to an eighth of the side, the border going on (no interpolation)."""
    margin = [max(1, side // 8) for side in x.shape[2:]]
    down, right = (round(float(v) * m) for v, m in zip(r, margin, strict=False))
    padded = F.pad(x, (margin[1], margin[1], margin[0], margin[0]), mode="replicate")
    return padded[:, :, margin[0] + down :, margin[1] + right :][:, :, : x.shape[2], : x.shape[3]]


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


def build_augmentation(names: str) -> Augment:
    """The augmentation of these words, augment(x, generator); "" changes nothing. Raises UserError."""
    table = AUGMENTATIONS | IMAGE_CHANGES
    changes = [draw_numbers(find(table, "augmentation", word)) for word in names.split("-") if word]
    return pick_one(changes) if changes else lambda x, generator: x


def draw_numbers(transform: Transform) -> Augment:
    """The transform by three numbers of the generator."""
    return lambda x, generator: transform(x, 2 * torch.rand(3, generator=generator) - 1)
