"""Functional calls: the one place that calls a network with weights that are passed to it, or copies one.

The weights replace the network's parameters and buffers during the call only, wherever a module holds
them: a layer that is reached by two names, and a weight that two layers share, have one name. The network's
own tensors never change, and its mode (train or eval) is its own.
"""

import copy
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.parameter import is_lazy

from distill.errors import NetworkError


def call_with_weights(network: nn.Module, weights: Mapping[str, Tensor], x: Tensor, **arguments: Any) -> Any:
    """The network's answer to x with these weights: (b, classes) logits for a classifier.

    Buffers may be among the weights, and those that forward changes are changed in place, as batch norm's
    running averages; of others a copy is used. arguments are further ones of its forward.
    """
    tensors = place_tensors(network, weights)
    before = {name: tensors[name] for name, _ in network.named_buffers()}
    outputs = functional_call(network, tensors, (x,), arguments, tie_weights=False)
    for name, buffer in before.items():
        if tensors[name] is not buffer:  # forward put another tensor in its place
            buffer.copy_(tensors[name].detach())
    return outputs


def place_tensors(network: nn.Module, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensor for each place of a parameter or buffer: that of its name, else a copy of a buffer.

    functional_call's own tie_weights puts one tensor twice into a layer of two names, and then takes the
    first for the layer's own.
    """
    names: dict[Tensor, str] = {}
    tensors: dict[str, Tensor] = {}
    for prefix, module in network.named_modules():
        parameters, buffers = module._parameters, module._buffers
        for leaf, tensor in chain(parameters.items(), buffers.items()):
            if tensor is None:
                continue
            path = f"{prefix}.{leaf}" if prefix else leaf
            name = names.setdefault(tensor, path)
            if name in weights:
                tensors[path] = weights[name]
            elif leaf in buffers:
                tensors[path] = tensors[name] if name != path else tensor.clone()
    return tensors


def persistent_tensors(network: nn.Module) -> dict[str, Tensor]:
    """The parameters by name, each once, then the buffers that a state dict holds, if they are finite.

    A mask of -inf is no weight: a file of weights refuses it, and every network makes its own.
    """
    tensors: dict[str, Tensor] = dict(network.named_parameters())
    if buffers := dict(network.named_buffers()):
        saved = network.state_dict(keep_vars=True)
        tensors |= {
            k: b for k, b in buffers.items() if k in saved and b.isfinite().all() and not b.is_complex()
        }
    return tensors


def copy_tensors(network: nn.Module) -> dict[str, Tensor]:
    """Copies of what persistent_tensors() gives, as the network has them now."""
    return {name: tensor.detach().clone() for name, tensor in persistent_tensors(network).items()}


@torch.no_grad()
def load_parameters(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy named weights and buffers into the network, on the device and in the precision of the weights.

    Raises NetworkError for weights that the network does not have.
    """
    tensors = tensors_by_name(network)
    for name, weight in weights.items() if isinstance(weights, Mapping) else [("weights", weights)]:
        if name not in tensors or not isinstance(weight, Tensor) or weight.shape != tensors[name].shape:
            raise NetworkError(f"{name:.80} is no weight of this network: give a state dict of its layers")
    if weights:
        network.to(next(iter(weights.values())))
        tensors = tensors_by_name(network)
    for name, weight in weights.items():
        tensors[name].copy_(weight)


def tensors_by_name(network: nn.Module) -> dict[str, Tensor]:
    """The parameters and buffers by all their names, as a state dict has them."""
    buffers = network.named_buffers(remove_duplicate=False)
    return {**dict(buffers), **dict(network.named_parameters(remove_duplicate=False))}


def weights_fit(network: nn.Module, weights: Iterable[Mapping[str, Tensor]]) -> bool:
    """Whether all of them are weights of this network, with its buffers or, in older files, without."""
    names = {name for name, _ in network.named_parameters()}
    shapes = {name: tensor.shape for name, tensor in persistent_tensors(network).items()}
    return all(
        names <= state.keys() and all(shapes.get(name) == w.shape for name, w in state.items())
        for state in weights
    )


def copy_network(network: nn.Module) -> nn.Module:
    """A private copy; tensors that an earlier forward left in the network are copied without their graph.

    Raises NetworkError for what is no network of real weights, or holds what cannot be copied.
    """
    network = unwrap(network)
    try:
        return copy.deepcopy(network)
    except Exception:  # a tensor with a graph refuses; whatever else a user's attributes raise
        remains = (value for module in network.modules() for value in vars(module).values())
        memo: dict[int, Any] = {id(t): t.detach().clone() for v in remains for t in graph_tensors(v)}
    try:
        return copy.deepcopy(network, memo)
    except Exception as error:
        raise NetworkError(
            f"the network cannot be copied ({str(error)[:80]}): create in forward what it holds beside layers"
        ) from error


def unwrap(network: Any) -> nn.Module:
    """The network inside torch.compile() and DataParallel, which answers the same. Raises NetworkError."""
    check_module(network)
    if isinstance(network, nn.DataParallel | nn.parallel.DistributedDataParallel):
        return unwrap(network.module)
    inside = getattr(network, "_orig_mod", None)  # of torch.compile()
    return network if inside is None else unwrap(inside)


def check_module(network: Any) -> None:
    """Raise NetworkError for what is no nn.Module, or whose weights are complex or have no values yet."""
    if not isinstance(network, nn.Module):
        raise NetworkError(f"the network is a {type(network).__name__}: give an nn.Module, as MyNetwork()")
    if not hasattr(network, "_modules"):
        raise NetworkError(f"{type(network).__name__}.__init__() must begin with super().__init__()")
    if any(map(is_lazy, network.parameters())):
        raise NetworkError(
            "the network has lazy layers: call it on a batch of items once, then distil or train"
        )
    for name, parameter in network.named_parameters():
        if parameter.is_meta:
            raise NetworkError(
                f"{name} of the network is on the meta device and has no values: build it on the CPU"
            )
        if parameter.is_complex():
            raise NetworkError(
                f"{name} of the network is complex, and sets are of real numbers: use real weights"
            )


def graph_tensors(value: Any) -> Iterator[Tensor]:
    """The tensors with a graph in a value, or in lists, tuples and dicts of it."""
    if isinstance(value, Tensor) and value.grad_fn is not None:
        yield value
    elif isinstance(value, list | tuple | dict):
        for element in value.values() if isinstance(value, dict) else value:
            yield from graph_tensors(element)


def extract_features(
    network: nn.Module, weights: Mapping[str, Tensor], x: Tensor
) -> Float[Tensor, "b width"]:
    """The input of the linear layer that a network calls last for x, with these weights.

    Raises NetworkError where it calls none, or not for all items.
    """
    features: list[Tensor] = []

    def keep_input(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        features[:] = inputs[:1]

    linear = [module for module in network.modules() if isinstance(module, nn.Linear)]
    hooks = [module.register_forward_pre_hook(keep_input) for module in linear]
    try:
        call_with_weights(network, weights, x)
    finally:
        for hook in hooks:
            hook.remove()
    if not features:
        raise NetworkError("the network calls no nn.Linear, whose inputs are the features of its items")
    if len(features[0]) != len(x):
        raise NetworkError(
            f"the last nn.Linear of the network gets {len(features[0])} of {len(x)} items, and features are"
            " of every item: end with one layer for all, or use a method that needs no features (unroll, dc)"
        )
    return features[0].flatten(1)
