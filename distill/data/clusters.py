"""k-means: centres of real items, from which learning may start, and which serve as a baseline."""

import torch
from torch import Tensor


def fit_k_means(x: Tensor, k: int, generator: torch.Generator, rounds: int = 20) -> Tensor:
    """k centres (k, *item) by Lloyd's algorithm, from k random items; a centre without items stays."""
    order = torch.randperm(len(x), generator=generator)[torch.arange(k) % len(x)]
    centres = x[order.to(x.device)].clone()
    for _ in range(rounds):
        nearest = torch.cdist(x.flatten(1), centres.flatten(1)).argmin(dim=1)
        for i in nearest.unique().tolist():
            centres[i] = x[nearest == i].mean(dim=0)
    return centres
