"""The changes of DSA (Zhao and Bilen 2021), as class ParamDiffAug of VICO-UoE/DatasetCondensation has them.

A change takes images, a generator, and how many images draw numbers: all, as where a network is trained, or
one for all of them, as where gradients are matched: siamese augmentation. What comes from outside of an image
is 0.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from distill.data.augment.each import Augment, Images, draw, move, pick_one, resize, turn, warp_each

Change = Callable[[Images, torch.Generator, int], Images]


def flip(x: Images, generator: torch.Generator, count: int) -> Images:
    """Left for right, half of the time."""
    flipped = torch.rand(count, 1, 1, 1, generator=generator).to(x.device) < 0.5
    return torch.where(flipped, x.flip(3), x)


def cut(x: Images, share: float, generator: torch.Generator, count: int) -> Images:
    """A rectangle of so large a share of each side becomes 0; it may reach over the border."""
    inside: list[Tensor] = []
    for side in x.shape[2:]:
        size = int(side * share + 0.5)
        start = torch.randint(0, side + 1 - size % 2, (count, 1), generator=generator) - size // 2
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


def color(x: Images, generator: torch.Generator, count: int) -> Images:
    """Brightness ± 0.5, saturation 0 … 2, contrast 0.5 … 1.5."""
    bounds = ((-0.5, 0.5), (0.0, 2.0), (0.5, 1.5))
    return recolour(x, *(draw(count, low, high, generator) for low, high in bounds))


def crop(x: Images, generator: torch.Generator, count: int) -> Images:
    """Moved by whole pixels, up to an eighth of the side."""
    margin = int(x.shape[2] / 8 + 0.5)
    return warp_each(x, move(x, -margin, margin, generator, count), None)


def cutout(x: Images, generator: torch.Generator, count: int) -> Images:
    """A rectangle of half of each side becomes 0."""
    return cut(x, 0.5, generator, count)


def scale(x: Images, generator: torch.Generator, count: int) -> Images:
    """Height and width, each larger or smaller by up to 1.2."""
    return warp_each(x, resize(count, 1 / 1.2, 1.2, generator), None)


def rotate(x: Images, generator: torch.Generator, count: int) -> Images:
    """Turned by up to 15 degrees."""
    return warp_each(x, turn(count, 15, generator), None)


CHANGES: dict[str, Change] = {
    "color": color, "crop": crop, "cutout": cutout, "flip": flip, "scale": scale, "rotate": rotate,
}  # fmt: skip


def draw_each(change: Change) -> Augment:
    """The change by numbers of each image's own."""
    return lambda x, generator: change(x, generator, len(x))


def draw_once(change: Change) -> Augment:
    """The change by the same numbers for all images."""
    return lambda x, generator: change(x, generator, 1)


DSA = {word: draw_each(change) for word, change in CHANGES.items()}
SIAMESE = {word: draw_once(change) for word, change in CHANGES.items()}


def is_dsa(words: str) -> bool:
    """Whether all of the words, joined by dashes, are changes of DSA."""
    return CHANGES.keys() >= set(words.split("-"))


def build_dsa(words: str, siamese: bool = False) -> Augment:
    """One of the words, joined by dashes, for each batch: by numbers of each image's own, or for all."""
    table = SIAMESE if siamese else DSA
    return pick_one([table[word] for word in words.split("-")])
