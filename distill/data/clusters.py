"""k-means: centres of real items, from which learning may start, and which serve as a baseline."""

import torch
from torch import Tensor

PART = 2**24  # numbers of the items whose distances are computed at once: 64 MiB


def fit_k_means(x: Tensor, k: int, generator: torch.Generator, rounds: int = 20) -> Tensor:
    """k centres (k, *item) by Lloyd's algorithm, from k random items; a centre without items stays.

    A single one is the mean. Distances of large items are computed part by part: torch.cdist copies them.
    """
    order = torch.randperm(len(x), generator=generator)[torch.arange(k) % len(x)]
    centres = x[order.to(x.device)].clone()
    if k == 1:
        return x.mean(dim=0, keepdim=True)
    for _ in range(rounds):
        nearest = find_nearest(x, centres)
        for i in nearest.unique().tolist():
            centres[i] = x[nearest == i].mean(dim=0)
    return centres


def find_nearest(x: Tensor, centres: Tensor) -> Tensor:
    """The number of the nearest centre for each item (N,)."""
    parts = x.flatten(1).split(max(1, PART // x[0].numel()))
    return torch.cat([torch.cdist(part, centres.flatten(1)).argmin(dim=1) for part in parts])
