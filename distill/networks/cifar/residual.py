"""ResNets for CIFAR by depth: 6n + 2 layers in three stages (He et al. 2016, section 4.2)."""

from functools import partial

from torch import nn

from distill.networks.images import Shape, build_norm, count_features
from distill.networks.standard import BasicBlock, check_width


class CifarResNet(nn.Sequential):
    """A ResNet of `depth` = 6n + 2 layers: 8, 14, 20, 26 … (He et al. 2016, section 4.2).

    A 3×3 stem, three stages of n blocks with width, 2 · width and 4 · width channels, of which the second and
    the third halve the size, the mean over all places, one matrix. The published width is 16. The blocks of
    stage k are the modules "0.3" … of the body, n each.

    Where a block changes the shape, its shortcut is a 1×1 convolution with a norm, as in the code of Mirzadeh
    et al. 2020; He et al. pad with zeros. norm: instance or batch. Raises ValueError, NetworkError.
    """

    def __init__(
        self, shape: Shape, classes: int, depth: int = 20, width: int = 16, norm: str = "instance"
    ) -> None:
        check_width(width)
        n, rest = divmod(depth - 2, 6)
        if rest or n < 1:
            raise ValueError(f"depth must be 6n + 2, as 8, 14, 20 or 26, not {depth}")
        stem = [nn.Conv2d(shape[0], width, 3, 1, 1, bias=False), *build_norm(norm, width), nn.ReLU()]
        blocks, before = list[nn.Module](), width
        for k in range(3):
            for i in range(n):
                blocks.append(BasicBlock(before, width * 2**k, 2 if k and not i else 1, norm))
                before = width * 2**k
        body = nn.Sequential(*stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        super().__init__(body, nn.Linear(count_features(body, shape), classes))


CifarResNetBatch = partial(CifarResNet, norm="batch")
