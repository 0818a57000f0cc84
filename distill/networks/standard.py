"""The larger networks of DC's table (Zhao et al. 2021; VICO-UoE/DatasetCondensation, networks.py).

They are for images of 32×32; grey ones of 28×28 get a margin that makes them as large, in VGG-11 and AlexNet.
A width other than the authors' scales every layer. Batch norm has buffers: students train such a network,
and no set can be distilled for it.
"""

from functools import partial
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distill.networks.images import ConvNet, Shape, build_norm, count_features

MAX_WIDTH = 256  # VGG-11 then has 147 million weights
VGG11_LAYERS = (1, 0, 2, 0, 4, 4, 0, 8, 8, 0, 8, 8, 0)  # channels over the width; 0 pools


class VGG11(nn.Sequential):
    """VGG-11 (Simonyan and Zisserman 2015, A): eight 3×3 convolutions with a norm, one matrix.

    norm is instance or batch. Of 32×32 images one number per channel is left. Raises ValueError,
    NetworkError.
    """

    def __init__(self, shape: Shape, classes: int, width: int = 64, norm: str = "instance") -> None:
        check_width(width)
        layers, before, padding = list[nn.Module](), shape[0], choose_margin(shape) + 1
        for factor in VGG11_LAYERS:
            if factor:
                convolution = nn.Conv2d(before, width * factor, 3, padding=padding)
                layers += [convolution, *build_norm(norm, width * factor), nn.ReLU()]
                before, padding = width * factor, 1
            else:
                layers.append(nn.MaxPool2d(2))
        body = nn.Sequential(*layers, nn.Flatten())
        super().__init__(body, nn.Linear(count_features(body, shape), classes))


class AlexNet(nn.Sequential):
    """AlexNet for small images, without a norm: five convolutions, three poolings, one matrix.

    Raises ValueError.
    """

    def __init__(self, shape: Shape, classes: int, width: int = 128) -> None:
        check_width(width)
        small, large = width * 3 // 2, width * 2
        body = nn.Sequential(
            nn.Conv2d(shape[0], width, 5, padding=choose_margin(shape) + 2), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(width, small, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(small, large, 3, padding=1), nn.ReLU(),
            nn.Conv2d(large, small, 3, padding=1), nn.ReLU(),
            nn.Conv2d(small, small, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        )  # fmt: skip
        super().__init__(body, nn.Linear(count_features(body, shape), classes))


class BasicBlock(nn.Module):
    """Two 3×3 convolutions with a norm beside a shortcut, which has one too where it changes the shape."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, norm: str) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False),
            *build_norm(norm, out_channels),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False),
            *build_norm(norm, out_channels),
        )
        shortcut = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
        same_shape = in_channels == out_channels and stride == 1
        self.shortcut = (
            nn.Identity() if same_shape else nn.Sequential(shortcut, *build_norm(norm, out_channels))
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


class AveragePool4(nn.Module):
    """The mean over 4×4, or over all that a smaller map has."""

    def forward(self, x: Tensor) -> Tensor:
        return F.avg_pool2d(x, (min(4, x.shape[2]), min(4, x.shape[3])))


class ResNet18(nn.Sequential):
    """ResNet-18 (He et al. 2016) for small images: a 3×3 stem without pooling, two blocks per stage.

    norm is instance or batch. Raises ValueError, NetworkError.
    """

    def __init__(self, shape: Shape, classes: int, width: int = 64, norm: str = "instance") -> None:
        check_width(width)
        stem = [nn.Conv2d(shape[0], width, 3, 1, 1, bias=False), *build_norm(norm, width), nn.ReLU()]
        blocks = [BasicBlock(width, width, 1, norm), BasicBlock(width, width, 1, norm)]
        for before, after in pairwise((width, 2 * width, 4 * width, 8 * width)):
            blocks += [BasicBlock(before, after, 2, norm), BasicBlock(after, after, 1, norm)]
        body = nn.Sequential(*stem, *blocks, AveragePool4(), nn.Flatten())
        super().__init__(body, nn.Linear(count_features(body, shape), classes))


def choose_margin(shape: Shape) -> int:
    """By how much a grey image grows on each side, so that 28×28 becomes 32×32; 0 for colours."""
    return 2 if shape[0] == 1 else 0


def check_width(width: int) -> None:
    """Raise ValueError for a width of which a network fills the memory."""
    if width > MAX_WIDTH:
        raise ValueError(f"width must be at most {MAX_WIDTH}, not {width}")


# Words of the table IMAGES that are a network with another norm.

ConvNetBatch = partial(ConvNet, norm="batch")
ConvNetNone = partial(ConvNet, norm="none")
ConvNetDoubling = partial(ConvNet, doubling=True)
VGG11Batch = partial(VGG11, norm="batch")
ResNet18Batch = partial(ResNet18, norm="batch")
