"""The networks of a run as plain values: weights, buffers and searched α, with the anchors that were kept."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from distill.kd.networks import Network, Networks
from distill.kd.state.stage import copy_checked, copy_plain


def save_networks(networks: Networks) -> dict[str, Any]:
    """By name: the tensors, those that networks share once, and the α of a network's layers."""
    seen: set[int] = set()
    saved = {}
    for name, network in networks.items():
        tensors = {key: t for key, t in list_tensors(network).items() if id(t) not in seen}
        seen |= set(map(id, tensors.values()))
        saved[name] = {"tensors": copy_plain(tensors), "alphas": copy_plain(network.alphas)}
    return saved


@torch.no_grad()
def load_networks(networks: Networks, saved: Mapping[str, Any]) -> None:
    """Write saved tensors into the networks, in place; anchors are added. Raises KeyError, ValueError."""
    for name, content in saved.items():
        if name not in networks:
            networks[name] = networks[name.rpartition("@")[0]].copy(name)
        tensors = list_tensors(networks[name])
        for key, tensor in content["tensors"].items():
            copy_checked(tensors[key], tensor)
        device = next(iter(tensors.values())).device
        networks[name].alphas.update({key: alpha.to(device) for key, alpha in content["alphas"].items()})


def list_tensors(network: Network) -> dict[str, Tensor]:
    """The parameters and buffers by name."""
    return {**dict(network.module.named_parameters()), **dict(network.module.named_buffers())}
