"""Functional calls: the one place that calls a network with weights that are passed to it.

The weights replace the network's parameters during the call only. Its buffers and its mode (train or eval)
are the network's own, and a layer that changes its buffers in forward changes them here too.
"""

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call


def call_with_weights(network: nn.Module, weights: Mapping[str, Tensor], x: Tensor) -> Tensor:
    """The network's answer to x with these weights: (b, classes) logits for a classifier."""
    outputs: Tensor = functional_call(network, dict(weights), (x,))
    return outputs


def extract_features(
    network: nn.Module, weights: Mapping[str, Tensor], x: Tensor
) -> Float[Tensor, "b width"]:
    """The input of a network's last linear layer for x, with these weights."""
    last = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
    features: list[Tensor] = []
    hook = last.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    try:
        call_with_weights(network, weights, x)
    finally:
        hook.remove()
    return features[0].flatten(1)
