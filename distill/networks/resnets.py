"""The ResNets of torchvision for images of any size, with group norm, so that they can be unrolled.

Batch norm has running averages, which an unrolled step cannot change.
"""

import math
from functools import partial
from typing import Any

from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from distill.networks.images import Shape
from distill.networks.standard import check_width

SMALL_IMAGE = 64  # pixels of the longer side, up to which the stem keeps the size
STEM = 64  # channels of the stem, and of the first stage in torchvision


class TorchvisionResNet(ResNet):  # type: ignore[misc]  # torchvision has no types
    """torchvision's ResNet (He et al. 2016), with the stem that suits the size of the images.

    Up to 64×64 the stem is a 3×3 convolution without pooling, as the field has it for CIFAR and Tiny
    ImageNet; for larger ones torchvision's own, 7×7 of stride 2 and max pooling. width: channels of the first
    stage, 64 in torchvision. Raises ValueError.
    """

    def __init__(
        self, block: type[Any], layers: list[int], shape: Shape, classes: int, width: int = STEM
    ) -> None:
        check_width(width)
        self.width = width
        super().__init__(block, layers, norm_layer=build_group_norm)
        self.conv1 = nn.Conv2d(shape[0], STEM, 7, 2, 3, bias=False)
        if max(shape[1:]) <= SMALL_IMAGE:
            self.conv1 = nn.Conv2d(shape[0], STEM, 3, 1, 1, bias=False)
            self.maxpool = nn.Identity()
        self.fc = nn.Linear(8 * width * block.expansion, classes)

    def _make_layer(self, block: Any, planes: int, *arguments: Any, **options: Any) -> nn.Sequential:
        return super()._make_layer(block, planes * self.width // STEM, *arguments, **options)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)


def build_group_norm(channels: int) -> nn.GroupNorm:
    """Group norm (Wu and He 2018) of at most 32 groups, each of at least 8 channels.

    Narrow groups make unrolled gradients wild: through two steps of a ResNet-50 of width 8 on 32×32 items
    their norm was 7,344 with groups of one channel, 616 with two, 27 with four, 3 with eight.
    """
    return nn.GroupNorm(math.gcd(32, max(1, channels // 8)), channels)


ResNet18Group = partial(TorchvisionResNet, BasicBlock, [2, 2, 2, 2])
ResNet50Group = partial(TorchvisionResNet, Bottleneck, [3, 4, 6, 3])
