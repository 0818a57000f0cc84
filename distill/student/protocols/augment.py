"""The changes of images that the field's protocols train with: each image has numbers of its own.

Those of DSA are in distill.data.augment, since gradient matching needs them too. Each function takes images
(b, channels, height, width) and a generator, and returns changed ones.
"""

from collections.abc import Mapping
from typing import TypeVar

import torch

from distill.data.augment.dsa import DSA, cut, recolour
from distill.data.augment.each import DC, Augment, Images, change_each, draw, pick_one, resize, warp_each
from distill.errors import UserError, unknown
from distill.sets.distilled import DistilledSet
from distill.sets.public.normalisation import simplify_name
from distill.sets.public.training import SYMBOLS

T = TypeVar("T")
CLOTHES = "fashionmnist"


def recolour_frepo(x: Images, generator: torch.Generator) -> Images:
    """Brightness ± 0.25; saturation and contrast between e^-0.25 and e^0.25, uniform in their logarithms."""
    brightness, saturation, contrast = (draw(len(x), -0.25, 0.25, generator) for _ in range(3))
    return recolour(x, brightness, saturation.exp(), contrast.exp())


# The changes of each project, by the words of its code

FREPO: dict[str, Augment] = {  # get_aug_by_name() of yongchaoz/FRePo
    "flip": DSA["flip"],
    "color": recolour_frepo,
    "crop": lambda x, g: warp_each(x, resize(len(x), 0.8, 1.25, g), None),
    "rotate": DSA["rotate"],
    "translate": DSA["crop"],
    "cutout": lambda x, g: cut(x, 0.25, g, len(x)),
}


def build_dc(words: str) -> Augment:
    """augment() of VICO's DC: each image gets one of the words, joined by dashes. Raises UserError.

    What comes from outside of an image is the mean of the batch, or 0 where the image shrinks. All three
    changes interpolate linearly; theirs take the nearest pixel to scale and splines to rotate.
    """
    changes = [pick(DC, word) for word in words.split("-")]
    return lambda x, generator: change_each(x, changes, generator)


def build_changes(table: Mapping[str, Augment], words: str) -> Augment:
    """One of the words, joined by dashes, for a batch; each image draws its numbers. Raises UserError."""
    return pick_one([pick(table, word) for word in words.split("-")])


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
