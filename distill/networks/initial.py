"""Initial weights of any network from a generator."""

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from distill.errors import NetworkError
from distill.networks import WEIGHT_INITS
from distill.networks.functional import copy_network, persistent_tensors
from distill.networks.resolve import draw_by_factory, factory_of
from distill.randomness import seed_torch
from distill.registry import find

Weights = dict[str, Tensor]
NORMS = (nn.GroupNorm, nn.LayerNorm, nn.RMSNorm, nn.modules.batchnorm._NormBase)  # their gains start at one


def draw_weights(network: nn.Module, generator: torch.Generator, weight_init: str = "xavier") -> Weights:
    """New weights for a network by name; the network is not touched. Frozen ones stay as they are.

    They are drawn by the network's factory where it has one, else as a word of WEIGHT_INITS says. A network
    with buffers has those among them that a state dict holds. Raises UserError for a word that is not in the
    table.
    """
    draw = find(WEIGHT_INITS, "weight initialisation", weight_init)
    weights: Weights = draw_by_factory(network, generator) or draw(network, generator)
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad and factory_of(network) is None:
            weights[name] = parameter.detach().clone().to(generator.device)
    return weights


def draw_xavier(network: nn.Module, generator: torch.Generator) -> Weights:
    """Normal with variance 2 / (fan_in + fan_out) (Glorot and Bengio 2010, eq. 12), biases 0, gains 1."""
    return fill_weights(network, generator, nn.init.xavier_normal_)


def draw_kaiming(network: nn.Module, generator: torch.Generator) -> Weights:
    """Normal with variance 2 / fan_in (He et al. 2015, eq. 10), biases 0, gains 1."""

    def fill(weight: Tensor, generator: torch.Generator) -> Tensor:
        return nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=generator)

    return fill_weights(network, generator, fill)


def draw_kaiming_hidden(network: nn.Module, generator: torch.Generator) -> Weights:
    """As draw_kaiming(), but the last layer as draw_uniform() has it: it answers less loudly than labels."""
    weights = draw_kaiming(network, generator)
    last = [name for name, parameter in network.named_parameters() if parameter.ndim > 1][-1:]
    for name in last:
        fill_uniform(weights[name], generator)
    return weights


def draw_uniform(network: nn.Module, generator: torch.Generator) -> Weights:
    """Uniform within ± 1 / √fan_in, as torch's own layers begin, but biases 0, gains 1."""
    return fill_weights(network, generator, fill_uniform)


def fill_uniform(weight: Tensor, generator: torch.Generator) -> Tensor:
    """A weight filled with uniform numbers within ± 1 / √fan_in."""
    return nn.init.kaiming_uniform_(weight, a=math.sqrt(5), generator=generator)


def fill_weights(network: nn.Module, generator: torch.Generator, fill: Callable[..., Tensor]) -> Weights:
    """Matrices and filters by fill(weight, generator=generator), biases zero, gains of norm layers one."""
    gains = {
        f"{name}.weight" if name else "weight"
        for name, module in network.named_modules()
        if isinstance(module, NORMS)
    }
    weights = {}
    for name, parameter in network.named_parameters():
        weight = torch.zeros(parameter.shape, dtype=parameter.dtype, device=generator.device)
        if name in gains:
            weight.fill_(1)
        elif parameter.ndim > 1:
            fill(weight, generator=generator)
        weights[name] = weight
    buffers = {k: b.clone() for k, b in persistent_tensors(network).items() if k not in weights}
    return {**weights, **buffers}


def draw_own(network: nn.Module, generator: torch.Generator) -> Weights:
    """What every layer's reset_parameters() draws; a parameter that no layer draws stays as it is.

    Children come before their parent, as in torch's constructors, so that what a parent sets in a child
    remains. Raises NetworkError.
    """
    network = copy_network(network).to(generator.device)
    with seed_torch(generator):
        for module in children_first(network):
            reset_module(module)
    return {name: tensor.detach() for name, tensor in persistent_tensors(network).items()}


def children_first(network: nn.Module) -> Iterator[nn.Module]:
    """Every module of a network once, after those inside it."""
    seen: set[nn.Module] = set()

    def visit(module: nn.Module) -> Iterator[nn.Module]:
        if module not in seen:
            seen.add(module)
            for child in module.children():
                yield from visit(child)
            yield module

    return visit(network)


def reset_module(module: nn.Module) -> None:
    """Draw a module's own weights anew, those behind a parametrisation too. Raises NetworkError."""
    reset = getattr(module, "reset_parameters", None) or getattr(module, "_reset_parameters", None)
    if reset is None or isinstance(module, parametrize.ParametrizationList):
        return
    try:
        if parametrize.is_parametrized(module):
            reset_parametrized(module)
        else:
            reset()
            set_hooked_weights(module)
    except Exception as error:
        raise NetworkError(
            f"{type(module).__name__} of the network cannot draw new weights ({str(error)[:80]}): pass a"
            " factory, as network=lambda: MyNetwork()"
        ) from error


def reset_parametrized(module: nn.Module) -> None:
    """Draw the weights of a module with parametrisations (torch.nn.utils.parametrizations) anew.

    A plain copy draws them, and each is assigned, which gives the parameters behind it their values.
    """
    plain, names = copy_network(module), list(module.parametrizations)  # type: ignore[arg-type]
    plain.__class__ = parametrize.type_before_parametrizations(module)  # remove_parametrizations spoils both
    del plain.parametrizations
    for name in names:
        plain.register_parameter(name, nn.Parameter(getattr(module, name).detach().clone()))
    reset_module(plain)
    with torch.no_grad():
        for name in names:
            setattr(module, name, getattr(plain, name).detach())
        for name, parameter in plain.named_parameters(recurse=False):
            if name not in names:
                getattr(module, name).copy_(parameter)


def set_hooked_weights(module: nn.Module) -> None:
    """Give the parameters of the older torch.nn.utils.weight_norm and spectral_norm the weight just drawn."""
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, WeightNorm | SpectralNorm):
            weight = getattr(module, hook.name).detach().clone()
            parts = {"orig": weight}
            if isinstance(hook, WeightNorm):
                parts = {"v": weight, "g": torch.norm_except_dim(weight, 2, hook.dim)}
            with torch.no_grad():
                for part, value in parts.items():
                    getattr(module, f"{hook.name}_{part}").copy_(value)


def check_new_weights(network: nn.Module, first: Weights, second: Weights) -> None:
    """Raise NetworkError where a parameter is the same in two draws, though it is no constant.

    It was drawn in the network's constructor, which only a factory calls again. Of a factory, some
    parameters may be the same, as those of a pretrained part, but not all.
    """
    trained = [name for name, p in network.named_parameters() if p.requires_grad]
    drawn = [name for name in trained if first[name].unique().numel() > 1]
    new = [name for name in first if not torch.equal(first[name], second[name])]
    equal = [name for name in drawn if name not in new and not is_behind(name, new)]
    if factory_of(network) is not None and len(equal) < len(drawn):
        return
    if equal:
        raise NetworkError(
            f"{list_names(equal)} of the network cannot be drawn anew, so that all new networks would have"
            " the same: pass a factory that returns a new network, as network=lambda: MyNetwork()"
        )


def is_behind(name: str, new: Sequence[str]) -> bool:
    """Whether a parameter is of a parametrisation that has new tensors beside it, as orthogonal's base."""
    prefix = name.rpartition(".")[0]
    return "parametrizations." in name and any(other.startswith(f"{prefix}.") for other in new)


def list_names(names: Sequence[str], limit: int = 3) -> str:
    """'a, b, c and 4 more'."""
    ending = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + ending
