"""Random changes of images that can be differentiated through: one for a whole batch, or one for each image.

One for a batch is the siamese augmentation of Zhao and Bilen 2021 (DSA). The words of AUGMENTATIONS are
joined by dashes, as DSA writes them: "shift-scale-rotate"; those of IMAGE_CHANGES may stand among them. Each
call draws one of them, and three numbers r in [-1, 1] that say how much, from the generator.
"""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from distill.data import AUGMENTATIONS, IMAGE_CHANGES
from distill.randomness import stream
from distill.registry import find

Images = Float[Tensor, "b channels height width"]
Transform = Callable[[Images, Tensor], Images]  # the second argument holds three numbers in [-1, 1]: how much
Augment = Callable[[Images, torch.Generator], Images]
AffineChange = Callable[[Images, torch.Generator], tuple[Tensor, Tensor]]  # matrices, and what lies outside


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


# Changes of which each image has numbers of its own


def draw(count: int, low: float, high: float, generator: torch.Generator) -> Float[Tensor, " count"]:
    """Uniform numbers between low and high."""
    return low + (high - low) * torch.rand(count, generator=generator)


def warp_each(x: Images, matrices: Float[Tensor, "b 2 3"], fill: Float[Tensor, "b 1 1 1"] | None) -> Images:
    """Each image read at matrix · (right, down, 1), the sides at ± 1; outside it is fill, or 0."""
    grid = F.affine_grid(matrices.to(x), list(x.shape), align_corners=False)
    if fill is None:
        return F.grid_sample(x, grid, align_corners=False)
    return F.grid_sample(x - fill, grid, align_corners=False) + fill


def build_matrices(
    a: Tensor | float, b: Tensor | float, c: Tensor | float, d: Tensor | float, right: Tensor, down: Tensor
) -> Float[Tensor, "b 2 3"]:
    """The matrices [[a, b, right], [c, d, down]], of which some entries are the same for all."""
    rows = [torch.as_tensor(value).expand(len(right)) for value in (a, b, right, c, d, down)]
    return torch.stack(rows, dim=1).view(-1, 2, 3).float()


def turn(count: int, degrees: float, generator: torch.Generator) -> Float[Tensor, "b 2 3"]:
    """Rotations by up to so many degrees, either way."""
    angle, zero = draw(count, -math.radians(degrees), math.radians(degrees), generator), torch.zeros(count)
    return build_matrices(angle.cos(), -angle.sin(), angle.sin(), angle.cos(), zero, zero)


def resize(count: int, low: float, high: float, generator: torch.Generator) -> Float[Tensor, "b 2 3"]:
    """The grid's width and height, each times a number between low and high: above 1 the image shrinks."""
    zero = torch.zeros(count)
    width, height = (draw(count, low, high, generator) for _ in range(2))
    return build_matrices(width, 0.0, 0.0, height, zero, zero)


def move(x: Images, low: int, high: int, generator: torch.Generator) -> Float[Tensor, "b 2 3"]:
    """Moves by whole pixels, from low to high, right and down."""
    right, down = (
        2 * torch.randint(low, high + 1, (len(x),), generator=generator) / side
        for side in (x.shape[3], x.shape[2])
    )
    return build_matrices(1.0, 0.0, 0.0, 1.0, right, down)


CROP, SCALE, ROTATE = 4, 0.2, 45  # pixels, share of the side, degrees: get_daparam() of VICO's DC


def crop_dc(x: Images, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Moved by -4 … 3 pixels."""
    return move(x, -CROP, CROP - 1, generator), x.mean().expand(len(x))


def scale_dc(x: Images, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """0.8 … 1.2 times as wide, and as high."""
    sizes = resize(len(x), 1 - SCALE, 1 + SCALE, generator)
    return torch.where(sizes > 0, 1 / sizes, sizes), torch.zeros(len(x))


def rotate_dc(x: Images, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Turned by up to 45 degrees."""
    return turn(len(x), ROTATE, generator), x.mean().expand(len(x))


DC: dict[str, AffineChange] = {"crop": crop_dc, "scale": scale_dc, "rotate": rotate_dc}


def change_each(x: Images, changes: Sequence[AffineChange], generator: torch.Generator) -> Images:
    """Images, each of which is read through the matrix of one of the changes."""
    drawn = [change(x, generator) for change in changes]
    choice = torch.randint(len(drawn), (len(x),), generator=generator)
    rows = torch.arange(len(x))
    matrices = torch.stack([matrix for matrix, _ in drawn])[choice, rows]
    fill = torch.stack([value.to(x) for _, value in drawn])[choice.to(x.device), rows.to(x.device)]
    return warp_each(x, matrices, fill.view(-1, 1, 1, 1))


def affine(x: Images, r: Tensor) -> Images:
    """Each image moved by up to four pixels, resized by up to a fifth, or turned by up to 45 degrees.

    These are the changes of VICO's DC for MNIST; the three numbers are the seed of each image's own.
    """
    return change_each(x, tuple(DC.values()), stream("affine", *map(str, r.tolist())))


def standard(x: Images, r: Tensor) -> Images:
    """Each image moved by whole pixels, up to an eighth of the side, on zeros, and flipped half of the time.

    The augmentation of CIFAR: four pixels of 32 (He et al. 2016, section 4.2). The three numbers are the seed
    of each image's own.
    """
    generator = stream("standard", *map(str, r.tolist()))
    (count, _, *sides), margins = x.shape, [max(1, side // 8) for side in x.shape[2:]]
    padded = F.pad(x, (margins[1], margins[1], margins[0], margins[0]))
    rows, columns = (
        torch.arange(side) + torch.randint(2 * margin + 1, (count, 1), generator=generator)
        for side, margin in zip(sides, margins, strict=True)
    )
    flipped = torch.rand(count, 1, generator=generator) < 0.5
    columns = torch.where(flipped, columns.flip(1), columns)
    images = torch.arange(count)[:, None, None]
    return padded.movedim(1, 3)[images, rows[:, :, None], columns[:, None]].movedim(3, 1)


def build_augmentation(names: str) -> Augment:
    """The augmentation of these words, augment(x, generator); "" changes nothing. Raises UserError."""
    transforms: list[Transform] = [
        find(AUGMENTATIONS | IMAGE_CHANGES, "augmentation", word) for word in names.split("-") if word
    ]

    def augment(x: Images, generator: torch.Generator) -> Images:
        if not transforms:
            return x
        pick = int(torch.randint(len(transforms), (), generator=generator))
        return transforms[pick](x, 2 * torch.rand(3, generator=generator) - 1)

    return augment
