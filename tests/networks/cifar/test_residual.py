"""ResNets for CIFAR: He et al.'s sizes, by depth and width."""

import pytest
import torch
from torch import nn

from distill.networks.build import build_network


def count_weights(width: int, n: int) -> int:
    """Filters, norms, shortcuts and the matrix of a ResNet of 6n + 2 layers for colours and ten classes."""

    def count_convolution(a: int, b: int, size: int = 3) -> int:
        return a * b * size**2 + 2 * b

    total, before = count_convolution(3, width), width
    for channels in (width, 2 * width, 4 * width):
        total += count_convolution(before, channels) + (2 * n - 1) * count_convolution(channels, channels)
        total += count_convolution(before, channels, 1) if before != channels else 0
        before = channels
    return total + 4 * width * 10 + 10


@pytest.mark.parametrize("depth", [8, 14, 20, 26, 56])
@pytest.mark.parametrize("name", ["cifar-resnet", "cifar-resnet-batch"])
def test_a_resnet_has_as_many_layers_as_its_depth_says(name: str, depth: int) -> None:
    network = build_network(name, (3, 32, 32), 10, depth=depth)
    large = [m for m in network.modules() if isinstance(m, nn.Conv2d) and m.kernel_size == (3, 3)]
    assert len(large) + 1 == depth
    assert sum(p.numel() for p in network.parameters()) == count_weights(16, (depth - 2) // 6)


def test_resnet_20_has_the_size_of_the_paper() -> None:
    """0.27 million weights (He et al. 2016, table 6); the two shortcuts' filters and norms are 2,752."""
    network = build_network("cifar-resnet-batch", (3, 32, 32), 10)
    assert sum(p.numel() for p in network.parameters()) == 269_722 + 2_752


def test_the_stages_halve_the_size_and_double_the_channels() -> None:
    network = build_network("cifar-resnet-batch", (1, 16, 16), 10, depth=14, width=4)
    x, shapes = torch.zeros(2, 1, 16, 16), []
    for module in network[0][:9]:
        x = module(x)
        shapes.append(tuple(x.shape[1:]))
    assert shapes[3:] == [(4, 16, 16)] * 2 + [(8, 8, 8)] * 2 + [(16, 4, 4)] * 2
