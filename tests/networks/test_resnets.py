"""torchvision's ResNets: theirs but for the norm and, of small images, the stem."""

from pathlib import Path

import pytest
import torch
from torch import nn
from torchvision import models

from distill.commands.image import main as image
from distill.errors import NetworkError
from distill.networks.build import build_network, check_no_buffers
from distill.networks.composed import build_any_network
from distill.sets.distilled import DistilledSet
from distill.student.evaluation import evaluate
from tests.helpers import write_npz


def test_with_batch_norm_it_is_torchvisions_network_for_photographs() -> None:
    own = build_network("torchvision/resnet18-batch", (3, 96, 96), 7).eval()
    original = models.resnet18(num_classes=7).eval()
    original.load_state_dict(own.state_dict())
    x = torch.linspace(-1, 1, 3 * 96 * 96).view(1, 3, 96, 96)
    assert torch.equal(own(x), original(x))


def test_with_group_norm_nothing_but_the_norm_is_another() -> None:
    own, original = build_network("torchvision/resnet18-group", (3, 224, 224), 1000), models.resnet18()
    shapes, expected = ({n: p.shape for n, p in net.named_parameters()} for net in (own, original))
    assert shapes == expected
    norms = [m for m in own.modules() if isinstance(m, nn.GroupNorm)]
    assert len(norms) == sum(isinstance(m, nn.BatchNorm2d) for m in original.modules())
    assert {(m.num_channels, m.num_groups) for m in norms} == {(64, 8), (128, 16), (256, 32), (512, 32)}


@pytest.mark.parametrize(("size", "kernel", "left"), [(32, 3, 32), (64, 3, 64), (65, 7, 17)])
def test_small_images_keep_their_size_in_the_stem(size: int, kernel: int, left: int) -> None:
    network = build_network("torchvision/resnet18-group", (1, size, size), 2, width=8)
    stem = nn.Sequential(network.conv1, network.maxpool)
    assert network.conv1.kernel_size == (kernel, kernel)
    assert stem(torch.zeros(1, 1, size, size)).shape == (1, 64, left, left)


def test_a_set_is_learned_for_one_and_another_is_a_student(tmp_path: Path) -> None:
    data = write_npz(tmp_path / "blobs.npz", train=30, test=6, size=16)
    command = [
        "--dataset", str(data), "--n", "3", "--network", "torchvision/resnet18-group", "--width", "4",
        "--init", "random", "--method", "unroll", "--inner-steps", "2", "--outer-steps", "1",
        "--outer-batch", "4", "--test-networks", "1", "--full-data-networks", "0", "--dc-networks", "0",
        "--baseline-networks", "0", "--validation-networks", "1", "--out", str(tmp_path / "run"),
    ]  # fmt: skip
    assert image(command) == 0
    learned = DistilledSet.load(tmp_path / "run/set.pt")
    assert learned.network["name"] == "torchvision/resnet18-group"
    x, y = learned.items, torch.arange(3)
    batch_norm = build_network("torchvision/resnet18-batch", (1, 16, 16), 3, width=4)
    assert len(evaluate(learned, (x, y), network=batch_norm, seeds=1).scores) == 1


def test_batch_norm_is_refused_for_a_set_with_the_word_that_can_be_unrolled() -> None:
    network = build_network("torchvision/resnet18-batch", (3, 32, 32), 2, width=4)
    with pytest.raises(NetworkError, match='distil for "torchvision/resnet18-group", and train students of'):
        check_no_buffers("torchvision/resnet18-batch", network)


def test_torchvisions_plain_word_gets_a_suggestion(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = write_npz(tmp_path / "blobs.npz")
    assert image(["--dataset", str(data), "--network", "torchvision/resnet18"]) == 2
    assert 'did you mean "torchvision/resnet18-group"' in capsys.readouterr().err


def test_recipes_of_kd_know_them_beside_torchvisions_own() -> None:
    own = build_any_network("torchvision/resnet18-group", (3, 32, 32), 2, width=4, depth=None)
    assert not list(own.buffers())
    assert list(build_any_network("torchvision/resnet18", (3, 32, 32), 2).buffers())
