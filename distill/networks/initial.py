"""Initial weights of any network from a generator."""

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from distill.networks import WEIGHT_INITS
from distill.registry import find

Weights = dict[str, Tensor]


def draw_weights(network: nn.Module, generator: torch.Generator, weight_init: str = "xavier") -> Weights:
    """New weights for a network by name, drawn as a word of WEIGHT_INITS says; the network is not touched.

    Raises UserError for a word that is not in the table.
    """
    weights: Weights = find(WEIGHT_INITS, "weight initialisation", weight_init)(network, generator)
    return weights


def draw_xavier(network: nn.Module, generator: torch.Generator) -> Weights:
    """Normal with variance 2 / (fan_in + fan_out) (Glorot and Bengio 2010, eq. 12), biases 0, gains 1."""
    return fill_weights(network, generator, nn.init.xavier_normal_)


def draw_kaiming(network: nn.Module, generator: torch.Generator) -> Weights:
    """Normal with variance 2 / fan_in (He et al. 2015, eq. 10), biases 0, gains 1."""

    def fill(weight: Tensor, generator: torch.Generator) -> Tensor:
        return nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=generator)

    return fill_weights(network, generator, fill)


def draw_uniform(network: nn.Module, generator: torch.Generator) -> Weights:
    """Uniform within ± 1 / √fan_in, as torch's own layers begin, but biases 0, gains 1."""

    def fill(weight: Tensor, generator: torch.Generator) -> Tensor:
        return nn.init.kaiming_uniform_(weight, a=math.sqrt(5), generator=generator)

    return fill_weights(network, generator, fill)


def draw_own(network: nn.Module, generator: torch.Generator) -> Weights:
    """What every layer's reset_parameters() draws; a parameter that no layer draws stays as it is."""
    network = copy.deepcopy(network).to(generator.device)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        for module in network.modules():
            reset = getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)
            if reset is not None:
                reset()
    return {name: parameter.detach() for name, parameter in network.named_parameters()}


def fill_weights(network: nn.Module, generator: torch.Generator, fill: Callable[..., Tensor]) -> Weights:
    """Matrices and filters by fill(weight, generator=generator), biases zero, gains of norm layers one."""
    gains = {
        f"{name}.weight" if name else "weight"
        for name, module in network.named_modules()
        if isinstance(module, nn.GroupNorm | nn.LayerNorm)
    }
    weights = {}
    for name, parameter in network.named_parameters():
        weight = torch.zeros(parameter.shape, dtype=parameter.dtype, device=generator.device)
        if name in gains:
            weight.fill_(1)
        elif parameter.ndim > 1:
            fill(weight, generator=generator)
        weights[name] = weight
    return weights
