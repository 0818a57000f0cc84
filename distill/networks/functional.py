"""Functional calls: a module with weights that are passed to it."""

from collections.abc import Mapping

from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call


def features(network: nn.Module, weights: Mapping[str, Tensor], x: Tensor) -> Float[Tensor, "b width"]:
    """What the last linear layer of a network with these weights is given for x."""
    last = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
    given: list[Tensor] = []
    hook = last.register_forward_pre_hook(lambda _, inputs: given.append(inputs[0]))
    try:
        functional_call(network, dict(weights), (x,))
    finally:
        hook.remove()
    return given[0].flatten(1)
