"""torchvision's ResNets: theirs but for the norm and, of small images, the stem."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision import models
from torchvision.models.resnet import Bottleneck, ResNet

from distill.commands.image import main as image
from distill.networks.build import build_network
from distill.networks.resnets import build_group_norm
from distill.sets.distilled import DistilledSet
from distill.student.evaluation import evaluate
from tests.helpers import write_npz


def test_with_group_norm_nothing_but_the_norm_is_another() -> None:
    own, original = build_network("resnet18-group", (3, 224, 224), 1000), models.resnet18()
    shapes, expected = ({n: p.shape for n, p in net.named_parameters()} for net in (own, original))
    assert shapes == expected
    norms = [m for m in own.modules() if isinstance(m, nn.GroupNorm)]
    assert len(norms) == sum(isinstance(m, nn.BatchNorm2d) for m in original.modules())
    assert {(m.num_channels, m.num_groups) for m in norms} == {(64, 8), (128, 16), (256, 32), (512, 32)}


@pytest.mark.parametrize(("size", "kernel", "left"), [(32, 3, 32), (64, 3, 64), (65, 7, 17)])
def test_small_images_keep_their_size_in_the_stem(size: int, kernel: int, left: int) -> None:
    network = build_network("resnet18-group", (1, size, size), 2, width=8)
    stem = nn.Sequential(network.conv1, network.maxpool)
    assert network.conv1.kernel_size == (kernel, kernel)
    assert stem(torch.zeros(1, 1, size, size)).shape == (1, 64, left, left)


def test_a_set_is_learned_for_one_and_torchvisions_own_is_a_student(tmp_path: Path) -> None:
    data = write_npz(tmp_path / "blobs.npz", train=30, test=6, size=16)
    command = [
        "--dataset", str(data), "--n", "3", "--network", "resnet18-group", "--width", "4",
        "--init", "random", "--method", "unroll", "--inner-steps", "2", "--outer-steps", "1",
        "--outer-batch", "4", "--test-networks", "1", "--full-data-networks", "0", "--dc-networks", "0",
        "--baseline-networks", "0", "--validation-networks", "1", "--out", str(tmp_path / "run"),
    ]  # fmt: skip
    assert image(command) == 0
    learned = DistilledSet.load(tmp_path / "run/set.pt")
    assert learned.network["name"] == "resnet18-group"
    x, y = learned.items, torch.arange(3)
    student = models.resnet18(num_classes=3)  # with batch norm
    student.conv1 = nn.Conv2d(1, 64, 3, bias=False)
    assert len(evaluate(learned, (x, y), network=student, seeds=1).scores) == 1


def test_photographs_pass_as_through_torchvisions_network() -> None:
    own = build_network("resnet50-group", (3, 96, 96), 7, width=64)
    original = ResNet(Bottleneck, [3, 4, 6, 3], num_classes=7, norm_layer=build_group_norm)
    original.load_state_dict(own.state_dict())
    x = torch.linspace(-1, 1, 3 * 96 * 96).view(1, 3, 96, 96)
    assert torch.equal(own(x), original(x))
