"""Constants: frozen tensors of a module that are no parameters, so that no state and no file holds them.

A layer reads self.weight in either case. Copies of a network share its constants: 43 MB of MiniLM.
"""

from collections.abc import Callable, Iterator

from torch import Tensor, nn

FROZEN = "frozen_names"  # a module's parameters that are constants; CONSTANT: these, and its buffers
CONSTANT = "constant_names"


def freeze(network: nn.Module) -> nn.Module:
    """The same network, all of its parameters and buffers made constants."""
    for module in network.modules():
        if hasattr(module, CONSTANT):
            continue
        frozen, buffers = list_tensors(module._parameters), list_tensors(module._buffers)
        setattr(module, FROZEN, tuple(frozen))
        setattr(module, CONSTANT, (*frozen, *buffers))
        for name, tensor in (*frozen.items(), *buffers.items()):
            delattr(module, name)
            setattr(module, name, tensor.detach())
    return network


def list_tensors(tensors: "dict[str, Tensor | None] | dict[str, nn.Parameter | None]") -> dict[str, Tensor]:
    """Those of a module's parameters or buffers that are there."""
    return {name: tensor for name, tensor in tensors.items() if tensor is not None}


def unfreeze(network: nn.Module) -> None:
    """Make the frozen parameters of a network, in all of its modules, parameters with their own values."""
    for module in network.modules():
        for name in getattr(module, FROZEN, ()):
            value = getattr(module, name)
            delattr(module, name)
            module.register_parameter(name, nn.Parameter(value.clone()))
        if hasattr(module, FROZEN):
            rest = tuple(n for n in getattr(module, CONSTANT) if n not in getattr(module, FROZEN))
            setattr(module, CONSTANT, rest)
            setattr(module, FROZEN, ())


def list_constants(network: nn.Module) -> Iterator[tuple[nn.Module, str, Tensor]]:
    """Each constant of a network: its module, its name there, and its tensor."""
    for module in network.modules():
        for name in getattr(module, CONSTANT, ()):
            yield module, name, getattr(module, name)


def apply_to_constants(network: nn.Module, function: Callable[[Tensor], Tensor]) -> None:
    """Put a function of each constant in its place, as Module.to() does with parameters."""
    for module, name, tensor in list(list_constants(network)):
        setattr(module, name, function(tensor))
