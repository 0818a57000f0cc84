"""Taps: what modules answer, without touching the network."""

import pytest
import torch
from torch import nn

from distill.errors import NetworkError
from distill.kd.taps import tapped
from distill.networks.initial import draw_weights
from distill.randomness import stream
from tests.helpers import SHAPE, Small, waves


def test_a_tap_hears_what_the_module_answers_and_leaves_no_hook() -> None:
    network = Small()
    weights, x = draw_weights(network, stream("taps")), waves(2, *SHAPE).float()
    logits, taps = tapped(network, weights, x, ["0", "3", "5"])
    assert not any(module._forward_hooks for module in network.modules())
    network.load_state_dict(weights)
    torch.testing.assert_close(logits, network(x))
    torch.testing.assert_close(taps["0"], network[0](x))
    torch.testing.assert_close(taps["3"], network[3](network[2](network[1](network[0](x)))))
    torch.testing.assert_close(taps["5"], logits)


def test_a_change_takes_the_place_of_an_answer() -> None:
    network = Small()
    weights, x = draw_weights(network, stream("taps")), waves(2, *SHAPE).float()
    logits, taps = tapped(network, weights, x, changes={"4": torch.zeros_like})
    assert float(taps["4"].abs().max()) == 0
    torch.testing.assert_close(logits, weights["5.bias"].expand(2, 3))


def test_a_path_that_leads_nowhere_lists_the_near_ones() -> None:
    network = nn.Sequential(nn.Sequential(nn.Linear(2, 2)), nn.ReLU())
    with pytest.raises(
        NetworkError, match=r'no module called "0.1"; did you mean "0.0"\? \(known: 0, 0.0, 1\)'
    ):
        tapped(network, dict(network.named_parameters()), torch.zeros(1, 2), ["0.1"])
    assert not any(module._forward_hooks for module in network.modules())
