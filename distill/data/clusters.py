"""k-means, for items to start from and for the baseline."""

import torch
from torch import Tensor


def centres(x: Tensor, k: int, generator: torch.Generator, rounds: int = 20) -> Tensor:
    """Lloyd's algorithm from k random items (k, *item); a centre that loses all its items stays."""
    order = torch.randperm(len(x), generator=generator)[torch.arange(k) % len(x)]
    found = x[order.to(x.device)].clone()
    for _ in range(rounds):
        nearest = torch.cdist(x.flatten(1), found.flatten(1)).argmin(dim=1)
        for i in nearest.unique().tolist():
            found[i] = x[nearest == i].mean(dim=0)
    return found
