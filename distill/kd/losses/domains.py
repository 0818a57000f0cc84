"""Losses between domains: features of labelled source items beside those of unlabelled target items."""

import torch
from jaxtyping import Float
from torch import Tensor

from distill.inner.losses import Scalar


def mmd(source: Float[Tensor, "a ..."], target: Float[Tensor, "b ..."]) -> Scalar:
    """Squared maximum mean discrepancy of two batches under a sum of five Gaussian kernels.

    Long et al. 2015 (deep adaptation networks), with the mean squared distance over 4, 2, 1, ½
    and ¼ as the kernels' widths; never negative. Where we differ: the kernels weigh alike, where the paper
    learns their weights, and all pairs of the batch count, those of an item with itself too, where the paper
    estimates in linear time, without bias.
    """
    x = torch.cat([source.flatten(1), target.flatten(1)])
    squares = (x[:, None] - x[None]).pow(2).sum(dim=2)
    width = squares.detach().mean().clamp_min(1e-12)
    kernel = sum((torch.exp(-squares / (width * 2.0**k)) for k in range(-2, 3)), torch.zeros_like(squares))
    n = len(source)
    return kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()
