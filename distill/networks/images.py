"""Small twice-differentiable networks for images, (batch, channels, height, width) → (batch, classes).

Every network is made from an item's shape and a number of classes, and has no buffers unless its norm is
batch: batch norm's running averages would change inside an unrolled step, so that students alone have it.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn

from distill.errors import NetworkError, unknown

Shape = tuple[int, ...]
NORMS = ("instance", "batch", "none")
SMALL_DEPTH = 3  # blocks of a ConvNet for small images; for larger ones see default_arguments()
MAX_DOUBLING = 6  # blocks of which each has twice the channels of the one before


class LeNet(nn.Sequential):
    """LeNet-5 as Wang et al. 2018 and Sucholutsky and Schonlau 2019 use it: max pooling and ReLU.

    Pooling first is the same function, since both are monotone, on a quarter of the values.
    """

    def __init__(self, shape: Shape, classes: int) -> None:
        channels, size, _ = shape
        body = nn.Sequential(
            nn.Conv2d(channels, 6, 5, padding=2 if size == 28 else 0), nn.MaxPool2d(2), nn.ReLU(),
            nn.Conv2d(6, 16, 5), nn.MaxPool2d(2), nn.ReLU(), nn.Flatten(),
        )  # fmt: skip
        features = count_features(body, shape)
        super().__init__(
            body, nn.Linear(features, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, classes)
        )


class ConvNet(nn.Sequential):
    """ConvNet-D, the field's standard (Gidaris and Komodakis 2018; Zhao et al. 2021).

    `depth` blocks of 3×3 convolution to `width` channels, a norm, ReLU, 2×2 average pooling.
    norm: instance, batch or none (default: instance, with doubling none).
    separable: each convolution is one per channel, then one of 1×1 (Howard et al. 2017, MobileNets).
    padding: of the first convolution; Zhao et al. give grey images 3, which makes 28×28 as large as 32×32.
    doubling: twice the channels in each further block (Zhou et al. 2022). Raises NetworkError.
    """

    def __init__(
        self,
        shape: Shape,
        classes: int,
        depth: int = SMALL_DEPTH,
        width: int = 128,
        separable: bool = False,
        padding: int = 1,
        doubling: bool = False,
        norm: str | None = None,
    ) -> None:
        if doubling and depth > MAX_DOUBLING:
            raise NetworkError(f"a convnet with doubling has a depth of at most {MAX_DOUBLING}, not {depth}")
        blocks: list[nn.Module] = []
        channels = [shape[0], *(width * 2 ** (i * doubling) for i in range(depth))]
        for i, (inputs, outputs) in enumerate(pairwise(channels)):
            norms = build_norm(norm or ("none" if doubling else "instance"), outputs)
            convolution = build_convolution(inputs, outputs, separable, 1 if i else padding)
            blocks += [convolution, *norms, nn.ReLU(), nn.AvgPool2d(2)]
        body = nn.Sequential(*blocks, nn.Flatten())
        super().__init__(body, nn.Linear(count_features(body, shape), classes))


def build_norm(norm: str, channels: int) -> list[nn.Module]:
    """The norm layer of a word, instance or batch, with gains and biases; no layer for none.

    Raises NetworkError for another word.
    """
    if norm not in NORMS:
        raise NetworkError(unknown("norm", norm, NORMS))
    if norm == "none":
        return []
    return [nn.BatchNorm2d(channels) if norm == "batch" else nn.GroupNorm(channels, channels)]


def build_convolution(in_channels: int, out_channels: int, separable: bool, padding: int = 1) -> nn.Module:
    """A 3×3 convolution, full or depthwise and pointwise; a padding of 1 keeps the size."""
    if not separable:
        return nn.Conv2d(in_channels, out_channels, 3, padding=padding)
    depthwise = nn.Conv2d(in_channels, in_channels, 3, padding=padding, groups=in_channels)
    return nn.Sequential(depthwise, nn.Conv2d(in_channels, out_channels, 1))


class Linear(nn.Sequential):
    """One matrix and a bias on all the numbers of an item."""

    def __init__(self, shape: Shape, classes: int) -> None:
        super().__init__(nn.Flatten(), nn.Linear(math.prod(shape), classes))


class MLP(nn.Sequential):
    """`depth` hidden layers of `width` ReLU units."""

    def __init__(self, shape: Shape, classes: int, depth: int = 2, width: int = 128) -> None:
        sizes = [math.prod(shape)] + [width] * depth
        hidden = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.ReLU())]
        super().__init__(nn.Flatten(), *hidden, nn.Linear(sizes[-1], classes))


class AlexCifarNet(nn.Sequential):
    """The small AlexNet for CIFAR-10 of Wang et al. 2018, with local response norm."""

    def __init__(self, shape: Shape, classes: int) -> None:
        def lrn() -> nn.Module:
            return nn.LocalResponseNorm(4, alpha=0.001 / 9, beta=0.75, k=1)

        body = nn.Sequential(
            nn.Conv2d(shape[0], 64, 5, padding=2), nn.ReLU(), nn.MaxPool2d(3, 2, 1), lrn(),
            nn.Conv2d(64, 64, 5, padding=2), nn.ReLU(), lrn(), nn.MaxPool2d(3, 2, 1), nn.Flatten(),
        )  # fmt: skip
        features = count_features(body, shape)
        super().__init__(
            body, nn.Linear(features, 384), nn.ReLU(), nn.Linear(384, 192), nn.ReLU(), nn.Linear(192, classes)
        )


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions with group norm beside a shortcut (He et al. 2016, Wu and He 2018)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(in_channels, out_channels, 3, stride, 1, bias=False),
            nn.GroupNorm(8, out_channels),
            nn.ReLU(),
            nn.Conv2d(out_channels, out_channels, 3, 1, 1, bias=False),
            nn.GroupNorm(8, out_channels),
        )
        same_shape = in_channels == out_channels and stride == 1
        self.shortcut = (
            nn.Identity() if same_shape else nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
        )

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


class ResNet(nn.Sequential):
    """A small ResNet with group norm: a stem, then one residual block per width, each halving the size."""

    def __init__(self, shape: Shape, classes: int, width: int = 16, stages: int = 3) -> None:
        widths = [width * 2**i for i in range(stages)]
        stem = nn.Sequential(
            nn.Conv2d(shape[0], width, 3, 1, 1, bias=False), nn.GroupNorm(8, width), nn.ReLU()
        )
        blocks = [ResidualBlock(width, width, 1)]
        blocks += [ResidualBlock(a, b, 2) for a, b in pairwise(widths)]
        body = nn.Sequential(stem, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten())
        count_features(body, shape)
        super().__init__(body, nn.Linear(widths[-1], classes))


def count_features(body: nn.Module, shape: Shape) -> int:
    """How many numbers body answers for one item; RuntimeError where the item is too small.

    In eval mode, in which batch norm takes a single item and its averages stay as they are.
    """
    with torch.no_grad():
        features: int = body.eval()(torch.zeros(1, *shape)).numel()
    body.train()
    if features == 0:
        raise RuntimeError("nothing is left of the item")
    return features
