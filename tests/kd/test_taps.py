"""Taps: the outputs of modules, without touching the network."""

import pytest
import torch
from torch import nn

from distill.errors import NetworkError
from distill.kd.taps import forward_with_taps
from distill.networks.initial import draw_weights
from distill.randomness import stream
from tests.helpers import SHAPE, Small, waves


def test_a_tap_is_the_output_of_its_module_and_leaves_no_hook() -> None:
    network = Small()
    weights, x = draw_weights(network, stream("taps")), waves(2, *SHAPE).float()
    network.load_state_dict(weights)
    logits, taps = forward_with_taps(network, x, ["0", "3", "5"])
    assert not any(module._forward_hooks for module in network.modules())
    torch.testing.assert_close(logits, network(x))
    torch.testing.assert_close(taps["0"], network[0](x))
    torch.testing.assert_close(taps["3"], network[3](network[2](network[1](network[0](x)))))
    torch.testing.assert_close(taps["5"], logits)


def test_a_change_replaces_an_output() -> None:
    network = Small()
    weights, x = draw_weights(network, stream("taps")), waves(2, *SHAPE).float()
    network.load_state_dict(weights)
    logits, taps = forward_with_taps(network, x, changes={"4": torch.zeros_like})
    assert float(taps["4"].abs().max()) == 0
    torch.testing.assert_close(logits, weights["5.bias"].expand(2, 3))


def test_a_path_to_no_module_suggests_a_near_one() -> None:
    network = nn.Sequential(nn.Sequential(nn.Linear(2, 2)), nn.ReLU())
    with pytest.raises(
        NetworkError, match=r'no module called "0.1"; did you mean "0.0"\? \(known: 0, 0.0, 1\)'
    ):
        forward_with_taps(network, torch.zeros(1, 2), ["0.1"])
    assert not any(module._forward_hooks for module in network.modules())
