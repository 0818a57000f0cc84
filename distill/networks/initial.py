"""Initial weights of any network from a generator."""

import copy
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

Draw = Callable[[Tensor, torch.Generator], None]  # fills a matrix or filter


def fresh_weights(
    network: nn.Module, generator: torch.Generator, scheme: str = "xavier"
) -> dict[str, Tensor]:
    """New named weights for network; network itself is not touched.

    Biases are zero and the gains of norm layers one. Matrices and filters are normal with
    variance 2 / (fan_in + fan_out) ("xavier", Glorot and Bengio 2010, eq. 12) or 2 / fan_in ("kaiming",
    He et al. 2015, eq. 10), or uniform within ± 1 / √fan_in ("uniform", as torch's own layers begin).
    Or everything is as the network's own layers draw it ("own"), which is for networks that are not ours.
    """
    draw = SCHEMES[scheme]
    return own_weights(network, generator) if draw is None else drawn_weights(network, generator, draw)


def own_weights(network: nn.Module, generator: torch.Generator) -> dict[str, Tensor]:
    """What every layer's reset_parameters() draws; a parameter that no layer draws stays as it is."""
    fresh = copy.deepcopy(network).to(generator.device)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(int(torch.randint(2**62, (), generator=generator)))
        for module in fresh.modules():
            reset = getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)
            if reset is not None:
                reset()
    return {name: parameter.detach() for name, parameter in fresh.named_parameters()}


def drawn_weights(network: nn.Module, generator: torch.Generator, draw: Draw) -> dict[str, Tensor]:
    """Matrices and filters by draw, biases zero, gains one."""
    gains = {
        f"{name}.weight" if name else "weight"
        for name, module in network.named_modules()
        if isinstance(module, nn.GroupNorm | nn.LayerNorm)
    }
    weights = {}
    for name, parameter in network.named_parameters():
        fresh = torch.zeros(parameter.shape, dtype=parameter.dtype, device=generator.device)
        if name in gains:
            fresh.fill_(1)
        elif parameter.ndim > 1:
            draw(fresh, generator)
        weights[name] = fresh
    return weights


def _xavier(weight: Tensor, generator: torch.Generator) -> None:
    nn.init.xavier_normal_(weight, generator=generator)


def _kaiming(weight: Tensor, generator: torch.Generator) -> None:
    nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=generator)


def _uniform(weight: Tensor, generator: torch.Generator) -> None:
    nn.init.kaiming_uniform_(weight, a=math.sqrt(5), generator=generator)


SCHEMES: dict[str, Draw | None] = {
    "xavier": _xavier, "kaiming": _kaiming, "uniform": _uniform, "own": None,
}  # fmt: skip
