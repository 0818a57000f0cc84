"""The options of `distill relabel` for labels per augmentation. Imports no torch."""

from dataclasses import dataclass

from distill.registry import option

NEEDS = {"views": ()}


@dataclass(frozen=True)
class ViewOptions:
    """How many views get labels of their own, and how they are changed."""

    views: int | None = option(None, "COUNT", above=0, at_most=10_000, cost=(40_000, "bytes"))
    """Also store the teacher's labels for so many changed views of the items, for `distill student --protocol
    fkd`: one view for each epoch, 300 are a good number (default: none)."""
    view_augment: str = option("auto", "CHANGES", needs=NEEDS)
    """With --views: the changes, joined by hyphens, all of which each image gets in this order: zoom (a
    random part of its area, resized), crop, flip, rotate, scale, color, cutout (default: zoom-flip; for
    digits zoom alone)."""
    view_seed: int = option(0, "SEED", at_least=0, at_most=2**31, needs=NEEDS)
    """With --views: the seed of the changes, which the file keeps."""
    top: str | None = option(None, "K|auto", needs=NEEDS)
    """With --views: store the K largest values of each label instead of all; the rest counts as spread
    equally over the other classes. auto: as many as hold 99 % of the probability, where that takes at most
    half of the bytes and there are 32 classes or more (default: all)."""
