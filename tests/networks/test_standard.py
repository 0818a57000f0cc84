"""The networks of DC's table: their sizes are the authors', and students train those with batch norm."""

from functools import partial
from pathlib import Path

import pytest
import torch
from torch import nn

import distill
from distill.commands.image import main as distil
from distill.errors import NetworkError
from distill.networks.build import build_network
from distill.randomness import stream
from distill.student import accuracy, train, train_ordinary
from tests.contracts import (
    STUDENT_NETWORKS,
    build_small,
    choose_small_shape,
    student_contract,
)
from tests.helpers import waves, write_npz

CASES = [(n, s) for n in STUDENT_NETWORKS for s in ((3, 32, 32), choose_small_shape(n))]


@pytest.mark.parametrize(("name", "shape"), CASES)
def test_a_network_with_batch_norm_passes_the_contract_of_students(name: str, shape: tuple[int, ...]) -> None:
    student_contract(build_small(name, shape, 5), shape, 5)


VGG11_CONVOLUTIONS = 1792 + 73_856 + 295_168 + 590_080 + 1_180_160 + 3 * 2_359_808
NORM_WEIGHTS = 2 * 2752  # gains and biases of VGG-11: 64, 128, 2 × 256 and 4 × 512 channels


@pytest.mark.parametrize(
    ("name", "shape", "count"),
    [
        ("vgg11", (3, 32, 32), VGG11_CONVOLUTIONS + NORM_WEIGHTS + 5130),
        ("vgg11", (1, 28, 28), 9_231_114 - 2 * 9 * 64),
        ("vgg11-batch", (3, 32, 32), 9_231_114),
        ("resnet18", (3, 32, 32), 11_173_962),  # also that of kuangliu/pytorch-cifar
        ("resnet18-batch", (1, 28, 28), 11_173_962 - 2 * 9 * 64),
        ("alexnet", (3, 32, 32), 9728 + 614_592 + 442_624 + 442_560 + 331_968 + 30_730),
        ("alexnet", (1, 28, 28), 1_872_202 - 2 * 25 * 128),
        ("convnet-batch", (3, 32, 32), 320_010),
        ("convnet-none", (3, 32, 32), 320_010 - 3 * 2 * 128),
        ("convnet-doubling", (3, 32, 32), 3_584 + 295_168 + 1_180_160 + 81_930),
    ],
)  # fmt: skip
def test_the_networks_of_dc_have_the_authors_number_of_weights(
    name: str, shape: tuple[int, ...], count: int
) -> None:
    assert sum(p.numel() for p in build_network(name, shape, 10).parameters()) == count


@pytest.mark.parametrize("name", ["vgg11", "alexnet"])
@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32)])
def test_grey_images_of_28_are_as_large_inside_as_colours_of_32(name: str, shape: tuple[int, ...]) -> None:
    network = build_network(name, shape, 10, width=8)
    assert network[0][0](torch.zeros(1, *shape)).shape[2:] == (32, 32)


def test_resnet18_pools_four_by_four_and_keeps_what_is_larger() -> None:
    network = build_network("resnet18", (3, 64, 64), 10, width=4)
    assert network[-1].in_features == 32 * 2 * 2


@pytest.mark.parametrize(("name", "layers"), [("vgg11", 8), ("resnet18", 20), ("convnet", 3)])
def test_every_norm_is_the_word_s(name: str, layers: int) -> None:
    kinds = {"instance": nn.GroupNorm, "batch": nn.BatchNorm2d}
    for norm, kind in kinds.items():
        modules = list(build_network(name, (3, 32, 32), 3, width=4, norm=norm).modules())
        assert [isinstance(m, kind) for m in modules].count(True) == layers
        assert not any(isinstance(m, k) for m in modules for k in kinds.values() if k is not kind)


def test_sizing_a_network_with_batch_norm_moves_no_average() -> None:
    for name in STUDENT_NETWORKS:
        buffers = dict(build_small(name, (3, 32, 32), 3).named_buffers())
        assert all((b == (1 if key.endswith("var") else 0)).all() for key, b in buffers.items())


@pytest.mark.parametrize(
    ("name", "norm", "sentence"),
    [
        ("convnet", "bach", "\"convnet\" cannot have norm 'bach': instance or batch or none"),
        ("vgg11", "none", "\"vgg11\" cannot have norm 'none': instance or batch"),
        ("resnet18", ["batch"], "cannot have norm"),
        ("lenet", "batch", 'the network "lenet" has no norm'),
    ],
)
def test_an_odd_norm_is_refused(name: str, norm: object, sentence: str) -> None:
    with pytest.raises(NetworkError, match=sentence):
        build_network(name, (3, 32, 32), 10, norm=norm)


def test_a_wide_vgg_is_refused_before_it_fills_the_memory() -> None:
    with pytest.raises(NetworkError, match='"vgg11" cannot be built so: width must be at most 256, not 1000'):
        build_network("vgg11", (3, 32, 32), 10, width=1000)


LABELS = torch.arange(60) % 3
CENTRES = 2 * waves(3, 3, 32, 32).float()
X = CENTRES[LABELS] + 0.3 * torch.randn(60, 3, 32, 32, generator=stream("items"))
TEST = distill.Dataset("test", X, LABELS, ("a", "b", "c"), (0.0,), (1.0,))
FEW = distill.DistilledSet(
    items=CENTRES,
    labels=torch.eye(3),
    schedule=torch.arange(3).repeat(60, 1),
    lrs=torch.full((60,), 0.01),  # after 30 at 0.02 one student in ten misses a class, another on each CPU
    inner={"rule": "sgd", "momentum": 0.9, "loss": "soft-cross-entropy"},
    network={
        "name": "convnet",
        "arguments": {"width": 8, "norm": "batch"},
        "init": "random",
        "scheme": "own",
    },
    source={"name": "own data", "classes": list("abc"), "mean": [0.0], "std": [1.0]},
)


@pytest.mark.parametrize("name", STUDENT_NETWORKS)
def test_students_with_batch_norm_learn_by_the_recipe_and_by_any_optimiser(name: str) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = build_small(name, (3, 32, 32), 3)
    optimiser = partial(torch.optim.SGD, lr=0.01, momentum=0.9)
    students = train(FEW, network), train_ordinary(FEW, network, None, optimiser, 60, 3, stream("d"))
    for student in students:
        assert int(student.state_dict()["0.1.num_batches_tracked"]) == 60
        assert accuracy(student, TEST) > 0.9


def test_a_set_names_the_norm_of_its_network() -> None:
    assert accuracy(train(FEW), TEST) > 0.9
    assert [type(m) for m in train(FEW).modules()].count(nn.BatchNorm2d) == 3


@pytest.mark.parametrize("name", STUDENT_NETWORKS)
def test_no_set_is_distilled_for_batch_norm(name: str, tmp_path: Path, capsys) -> None:
    data = write_npz(tmp_path / "blobs.npz", train=60, test=12, size=32)
    assert distil(["--dataset", str(data), "--network", name, "--width", "8", "--n", "3"]) == 2
    assert (
        f'the network "{name}" has batch norm, whose running averages training changes, which an'
        f' unrolled step cannot: distil for "{name.removesuffix("-batch")}", and train students of "{name}"'
    ) in capsys.readouterr().err
    with pytest.raises(
        NetworkError, match="use nn.GroupNorm or nn.InstanceNorm2d in the place of batch norm"
    ):
        distill.distill((X, LABELS), build_small(name, (3, 32, 32), 3), n=3, outer_steps=1)
