"""The changes of images that the field's protocols train with: each image has numbers of its own.

Those of distill.data.augment are one change for a whole batch, which gradient matching needs. Each function
takes images (b, channels, height, width) and a generator, and returns changed ones.
"""

import math
from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from distill.data.augment import Augment, Images
from distill.errors import UserError, unknown
from distill.sets.distilled import DistilledSet
from distill.sets.public.normalisation import simplify_name
from distill.sets.public.training import SYMBOLS

T = TypeVar("T")
Change = Callable[[Images, torch.Generator], Images]
CLOTHES = "fashionmnist"


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


def flip_each(x: Images, generator: torch.Generator) -> Images:
    """Left for right, each image half of the time."""
    flipped = torch.rand(len(x), 1, 1, 1, generator=generator).to(x.device) < 0.5
    return torch.where(flipped, x.flip(3), x)


def cut_each(x: Images, share: float, generator: torch.Generator) -> Images:
    """A rectangle of so large a share of each side becomes 0; it may reach over the border."""
    inside: list[Tensor] = []
    for side in x.shape[2:]:
        size = int(side * share + 0.5)
        start = torch.randint(0, side + 1 - size % 2, (len(x), 1), generator=generator) - size // 2
        place = torch.arange(side)
        inside.append((place >= start) & (place < start + size))
    hole = inside[0][:, :, None] & inside[1][:, None, :]
    return x.masked_fill(hole.unsqueeze(1).to(x.device), 0.0)


def recolour(x: Images, brightness: Tensor, saturation: Tensor, contrast: Tensor) -> Images:
    """Each image brighter by a number; its distance from its grey, then from its mean, times a factor."""
    brightness, saturation, contrast = (v.view(-1, 1, 1, 1).to(x) for v in (brightness, saturation, contrast))
    x = x + brightness
    grey = x.mean(dim=1, keepdim=True)
    x = grey + (x - grey) * saturation
    mean = x.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (x - mean) * contrast


def recolour_dsa(x: Images, generator: torch.Generator) -> Images:
    """Brightness ± 0.5, saturation 0 … 2, contrast 0.5 … 1.5."""
    bounds = ((-0.5, 0.5), (0.0, 2.0), (0.5, 1.5))
    return recolour(x, *(draw(len(x), low, high, generator) for low, high in bounds))


def recolour_frepo(x: Images, generator: torch.Generator) -> Images:
    """Brightness ± 0.25; saturation and contrast between e^-0.25 and e^0.25, uniform in their logarithms."""
    brightness, saturation, contrast = (draw(len(x), -0.25, 0.25, generator) for _ in range(3))
    return recolour(x, brightness, saturation.exp(), contrast.exp())


# The changes of each project, by the words of its code

DSA: dict[str, Change] = {  # Zhao and Bilen 2021, the class ParamDiffAug of VICO-UoE/DatasetCondensation
    "color": recolour_dsa,
    "crop": lambda x, g: warp_each(x, move(x, -round_eighth(x), round_eighth(x), g), None),
    "cutout": lambda x, g: cut_each(x, 0.5, g),
    "flip": flip_each,
    "scale": lambda x, g: warp_each(x, resize(len(x), 1 / 1.2, 1.2, g), None),
    "rotate": lambda x, g: warp_each(x, turn(len(x), 15, g), None),
}
FREPO: dict[str, Change] = {  # get_aug_by_name() of yongchaoz/FRePo
    "flip": flip_each,
    "color": recolour_frepo,
    "crop": lambda x, g: warp_each(x, resize(len(x), 0.8, 1.25, g), None),
    "rotate": DSA["rotate"],
    "translate": DSA["crop"],
    "cutout": lambda x, g: cut_each(x, 0.25, g),
}


def round_eighth(x: Images) -> int:
    """An eighth of the side in whole pixels."""
    return int(x.shape[2] / 8 + 0.5)


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


DC = {"crop": crop_dc, "scale": scale_dc, "rotate": rotate_dc}


def build_dc(words: str) -> Augment:
    """augment() of VICO's DC: each image gets one of the words, joined by dashes. Raises UserError.

    What comes from outside of an image is the mean of the batch, or 0 where the image shrinks. All three
    changes interpolate linearly; theirs take the nearest pixel to scale and splines to rotate.
    """
    changes = [pick(DC, word) for word in words.split("-")]

    def augment(x: Images, generator: torch.Generator) -> Images:
        drawn = [change(x, generator) for change in changes]
        choice = torch.randint(len(drawn), (len(x),), generator=generator)
        rows = torch.arange(len(x))
        matrices = torch.stack([matrix for matrix, _ in drawn])[choice, rows]
        fill = torch.stack([value.to(x) for _, value in drawn])[choice.to(x.device), rows.to(x.device)]
        return warp_each(x, matrices, fill.view(-1, 1, 1, 1))

    return augment


def build_changes(table: Mapping[str, Change], words: str) -> Augment:
    """One of the words, joined by dashes, for a batch; each image draws its numbers. Raises UserError."""
    changes = [pick(table, word) for word in words.split("-")]

    def augment(x: Images, generator: torch.Generator) -> Images:
        return changes[int(torch.randint(len(changes), (), generator=generator))](x, generator)

    return augment


def pick(table: Mapping[str, T], word: str) -> T:
    """A change by its word. Raises UserError."""
    if word not in table:
        raise UserError("augment: " + unknown("augmentation of this protocol", word, table))
    return table[word]


def is_digit_set(data: DistilledSet) -> bool:
    """Whether a flipped image of the set is another symbol, as of digits."""
    return simplify_name(data.source["name"]) in SYMBOLS


def is_of_clothes(data: DistilledSet) -> bool:
    """Whether the set is of Fashion-MNIST, which FRePo does not flip."""
    return simplify_name(data.source["name"]) == CLOTHES
