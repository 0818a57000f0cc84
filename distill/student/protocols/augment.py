"""The changes of images that the field's protocols train with: each image has numbers of its own.

Those of distill.data.augment are one change for a whole batch, which gradient matching needs. Each function
takes images (b, channels, height, width) and a generator, and returns changed ones.
"""

from collections.abc import Callable, Mapping
from typing import TypeVar

import torch
from torch import Tensor

from distill.data.augment import DC, Augment, Images, change_each, draw, move, resize, turn, warp_each
from distill.errors import UserError, unknown
from distill.sets.distilled import DistilledSet
from distill.sets.public.normalisation import simplify_name
from distill.sets.public.training import SYMBOLS

T = TypeVar("T")
Change = Callable[[Images, torch.Generator], Images]
CLOTHES = "fashionmnist"


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


def build_dc(words: str) -> Augment:
    """augment() of VICO's DC: each image gets one of the words, joined by dashes. Raises UserError.

    What comes from outside of an image is the mean of the batch, or 0 where the image shrinks. All three
    changes interpolate linearly; theirs take the nearest pixel to scale and splines to rotate.
    """
    changes = [pick(DC, word) for word in words.split("-")]
    return lambda x, generator: change_each(x, changes, generator)


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
