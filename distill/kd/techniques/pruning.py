"""Pruning by size: the smallest weights become zero and stay so while a stage trains."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils import prune
from torch.utils.hooks import RemovableHandle


def find_masks(parameters: Mapping[str, Tensor], share: float) -> dict[str, Tensor]:
    """1 where a weight of a matrix or filter stays, 0 for the share of smallest size over all of them.

    By torch.nn.utils.prune.global_unstructured with L1Unstructured (Han et al. 2015, section 3). Where we
    differ: one threshold for all layers, where the paper has one for each, a multiple of the standard
    deviation of its weights; a stage prunes once, at its beginning (several rounds are several stages).
    """
    large = {name: w for name, w in parameters.items() if w.ndim > 1}
    holders = nn.ModuleList()
    for w in large.values():
        holder = nn.Module()
        holder.weight = nn.Parameter(w.detach().clone())
        holders.append(holder)
    prune.global_unstructured([(h, "weight") for h in holders], prune.L1Unstructured, amount=share)
    return {name: dict(h.named_buffers())["weight_mask"] for name, h in zip(large, holders, strict=True)}


def apply_masks(parameters: Mapping[str, Tensor], masks: Mapping[str, Tensor]) -> list[RemovableHandle]:
    """Zero parameters in place where a mask does, and their gradients until the handles are removed."""
    handles = []
    with torch.no_grad():
        for name, mask in masks.items():
            parameters[name].mul_(mask)
            handles.append(parameters[name].register_hook(lambda grad, mask=mask: grad * mask))
    return handles
