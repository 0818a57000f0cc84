"""Plain CNNs: the layers of Mirzadeh et al. 2020 by depth, and thin ones."""

import pytest
import torch
from torch import nn

from distill.errors import NetworkError
from distill.networks.build import build_network
from distill.networks.cifar.plain import split_depth

# the convolutions and poolings (0) of Mirzadeh et al. for CIFAR-10, and the sizes of their matrices
PUBLISHED = {
    2: (16, [16, 0, 16, 0], [10]),
    4: (16, [16, 16, 0, 32, 32, 0], [10]),
    6: (16, [16, 16, 0, 32, 32, 0, 64, 64, 0], [10]),
    8: (16, [16, 16, 0, 32, 32, 0, 64, 64, 0, 128, 128, 0], [64, 10]),
    10: (32, [32, 32, 0, 64, 64, 0, 128, 128, 0, 256, 256, 256, 256, 0], [128, 10]),
}


def list_layers(network: nn.Module) -> tuple[list[int], list[int]]:
    """The channels of each convolution with 0 for a pooling, and the outputs of each matrix."""
    layers = [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.MaxPool2d)]
    matrices = [m.out_features for m in network.modules() if isinstance(m, nn.Linear)]
    return [m.out_channels if isinstance(m, nn.Conv2d) else 0 for m in layers], matrices


@pytest.mark.parametrize("depth", PUBLISHED)
def test_a_plain_cnn_has_the_layers_of_teacher_assistants(depth: int) -> None:
    width, layers, matrices = PUBLISHED[depth]
    for name in ("plain-cnn", "plain-cnn-batch"):
        network = build_network(name, (3, 32, 32), 10, depth=depth, width=width)
        assert list_layers(network) == (layers, matrices)
        norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
        assert len(norms) == (depth if name.endswith("batch") else 0)


def test_the_stages_of_every_depth_share_its_convolutions() -> None:
    assert [split_depth(d) for d in (2, 3, 5, 7, 9)] == [[1, 1], [1, 2], [2, 3], [2, 2, 3], [2, 2, 2, 3]]
    assert all(sum(split_depth(d)) == d and len(split_depth(d)) <= 4 for d in range(2, 21))


def test_a_thin_cnn_is_deep_narrow_and_without_a_norm() -> None:
    network = build_network("thin-cnn", (3, 32, 32), 10, width=16)
    assert list_layers(network) == ([16, 16, 0, 16, 16, 0, 16, 16, 0, 16, 16, 16, 16, 0], [10])
    assert {type(m) for m in network[0]} == {nn.Conv2d, nn.ReLU, nn.MaxPool2d, nn.Flatten}


@pytest.mark.parametrize("shape", [(1, 16, 16), (1, 28, 28), (3, 32, 32), (3, 64, 64)])
@pytest.mark.parametrize("name", ["plain-cnn-batch", "thin-cnn", "cifar-resnet-batch"])
def test_images_of_every_size_are_taken(name: str, shape: tuple[int, ...]) -> None:
    depth = 8 if name == "cifar-resnet-batch" else 10
    network = build_network(name, shape, 7, depth=depth, width=4)
    assert network(torch.zeros(2, *shape)).shape == (2, 7)


@pytest.mark.parametrize(
    ("name", "depth", "sentence"),
    [
        ("plain-cnn", 1, '"plain-cnn" cannot be built so: depth must be 2 … 20 convolutions, not 1'),
        ("thin-cnn", 21, "depth must be 2 … 20 convolutions, not 21"),
        ("cifar-resnet", 18, "depth must be 6n \\+ 2, as 8, 14, 20 or 26, not 18"),
        ("cifar-resnet-batch", 2, "depth must be 6n \\+ 2, as 8, 14, 20 or 26, not 2"),
    ],
)
def test_a_depth_that_there_is_not_is_refused(name: str, depth: int, sentence: str) -> None:
    with pytest.raises(NetworkError, match=sentence):
        build_network(name, (3, 32, 32), 10, depth=depth)


def test_eight_pixels_are_too_few_for_four_poolings() -> None:
    with pytest.raises(NetworkError, match='1×8×8 is too small for the network "plain-cnn"'):
        build_network("plain-cnn", (1, 8, 8), 10, depth=8)
