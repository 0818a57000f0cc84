"""An example of a new network. As distill/networks/allconv.py it needs one more line, in the table IMAGES."""

from itertools import pairwise

from torch import nn


class AllConvNet(nn.Sequential):
    """`depth` strided 3×3 convolutions to `width` channels, and no pooling (Springenberg et al. 2015)."""

    def __init__(self, shape: tuple[int, ...], classes: int, depth: int = 2, width: int = 32) -> None:
        layers: list[nn.Module] = []
        for before, after in pairwise([shape[0]] + [width] * depth):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.GroupNorm(1, after), nn.ReLU()]
        super().__init__(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, classes))
