"""Random changes of which each image draws numbers of its own, and what such changes are made of.

IMAGE_CHANGES names those here that stand among the words of --augment.
"""

import math
from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from distill.randomness import stream

Images = Float[Tensor, "b channels height width"]
Augment = Callable[[Images, torch.Generator], Images]
AffineChange = Callable[[Images, torch.Generator], tuple[Tensor, Tensor]]  # matrices, and what lies outside


def draw(count: int, low: float, high: float, generator: torch.Generator) -> Float[Tensor, " count"]:
    """Uniform numbers between low and high."""
    return low + (high - low) * torch.rand(count, generator=generator)


def pick_one(changes: Sequence[Augment]) -> Augment:
    """One of the changes for each batch, drawn first."""

    def augment(x: Images, generator: torch.Generator) -> Images:
        return changes[int(torch.randint(len(changes), (), generator=generator))](x, generator)

    return augment


def warp_each(x: Images, matrices: Float[Tensor, "m 2 3"], fill: Float[Tensor, "b 1 1 1"] | None) -> Images:
    """Each image read at matrix · (right, down, 1), the sides at ± 1; outside it is fill, or 0.

    There are as many matrices as images, or one for all.
    """
    grid = F.affine_grid(matrices.to(x).expand(len(x), 2, 3), list(x.shape), align_corners=False)
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


def move(
    x: Images, low: int, high: int, generator: torch.Generator, count: int | None = None
) -> Float[Tensor, "m 2 3"]:
    """Moves by whole pixels, from low to high, right and down: of each image, or so many."""
    right, down = (
        2 * torch.randint(low, high + 1, (count or len(x),), generator=generator) / side
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
