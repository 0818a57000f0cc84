"""Every network passes the contract; weights come from the generator alone."""

import pytest
import torch

from distill.config import NETWORKS as WORDS
from distill.errors import NetworkError
from distill.networks import NETWORKS, SCHEMES, build, fresh_weights
from distill.randomness import stream
from tests.contracts import network_contract

SHAPES = [(1, 28, 28), (3, 32, 32), (1, 16, 16)]
SMALLER = {"convnet": {"width": 8}, "mlp": {"width": 16}, "resnet": {"width": 8}}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", NETWORKS)
def test_contract(name: str, shape: tuple[int, ...]) -> None:
    network_contract(build(name, shape, 5, **SMALLER.get(name, {})), shape, 5)


def test_lenet_is_the_one_of_the_paper() -> None:
    shapes = [tuple(p.shape) for p in build("lenet", (1, 28, 28), 10).parameters() if p.ndim > 1]
    assert shapes == [(6, 1, 5, 5), (16, 6, 5, 5), (120, 400), (84, 120), (10, 84)]


def test_the_published_convnet_has_its_published_size() -> None:
    count = sum(p.numel() for p in build("convnet", (3, 32, 32), 10).parameters())
    assert count == 320_010


@pytest.mark.parametrize("name", ["lenet", "convnet"])
def test_an_item_too_small_is_refused_with_its_shape(name: str) -> None:
    with pytest.raises(NetworkError, match=f'1×4×4 is too small for the network "{name}"'):
        build(name, (1, 4, 4), 10)


def test_an_argument_that_a_network_lacks_is_refused_by_name() -> None:
    with pytest.raises(NetworkError, match='the network "lenet" has no depth'):
        build("lenet", (1, 28, 28), 10, depth=2)


def test_the_command_line_knows_every_network() -> None:
    assert set(WORDS) == set(NETWORKS)


@pytest.mark.parametrize(("scheme", "gain"), [("xavier", 2 / (400 + 120)), ("kaiming", 2 / 400)])
def test_fresh_weights_have_the_variance_of_their_scheme(scheme: str, gain: float) -> None:
    network = build("lenet", (1, 28, 28), 10)
    weights = fresh_weights(network, stream("a"), scheme)
    assert weights["1.weight"].var().item() == pytest.approx(gain, rel=0.02)
    assert not weights["1.bias"].any()
    assert scheme in SCHEMES


def test_gains_of_norms_start_at_one_and_equal_generators_give_equal_weights() -> None:
    network = build("convnet", (1, 28, 28), 10, width=8)
    one, other = (fresh_weights(network, stream("a", 1)) for _ in range(2))
    assert all(torch.equal(one[k], other[k]) for k in one)
    assert not torch.equal(one["0.0.weight"], fresh_weights(network, stream("a", 2))["0.0.weight"])
    assert (one["0.1.weight"] == 1).all()
