"""The shapes of the first learning rates, where each step and parameter tensor learns one of its own.

The table of profiles is RATE_PROFILES in distill.outer: factors (steps, tensors) of --lr; None: all equal.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from distill.errors import UserError
from distill.outer.synthetic import inverse_softplus

EVEN = None
# The rates that three other LeNets learned on Fashion-MNIST (seeds 11, 12 and 13; 5, 10 and 5 images; 1,500
# outer steps by GGT from 0.04): geometric means, of which the square root is taken, since extreme rates are
# right for learned items alone. The first step moves the biases, the last one the first filters.
LENET = (  # weight and bias of conv1, conv2, fc1, fc2, fc3
    (1.1, 1.2, 0.65, 0.87, 4.0, 0.99, 2.2, 1.4, 1.2, 4.7),
    (0.5, 0.69, 0.27, 0.83, 3.1, 0.97, 0.28, 0.78, 0.83, 0.8),
    (0.25, 0.57, 0.16, 0.58, 2.3, 0.94, 0.2, 0.59, 0.7, 0.33),
    (0.29, 1.4, 0.16, 3.4, 1.7, 0.88, 0.27, 0.54, 0.76, 0.3),
    (0.29, 1.8, 0.16, 2.5, 0.62, 0.64, 0.16, 0.42, 0.32, 0.26),
    (6.8, 0.64, 0.16, 0.7, 0.27, 1.0, 0.16, 1.2, 0.23, 4.8),
)


def shape_rates(
    raw_lrs: Float[Tensor, "..."], factors: tuple[tuple[float, ...], ...] | None, name: str
) -> Float[Tensor, "..."]:
    """The softplus inverse of the rates times a profile's factors.

    Raises UserError where the profile, of this name, is of other steps or tensors.
    """
    if factors is None:
        return raw_lrs
    steps, tensors = len(factors), len(factors[0])
    if raw_lrs.shape != (steps, tensors):
        found = f"{raw_lrs.shape[1]} tensors" if raw_lrs.ndim == 2 else "all tensors alike"
        raise UserError(
            f"--lr-profile {name} is for {steps} inner steps and a rate for each of {tensors} parameter"
            f" tensors; this run has {len(raw_lrs)} steps and rates of {found}: give --lr-profile even"
        )
    return inverse_softplus(F.softplus(raw_lrs.double()) * torch.tensor(factors, dtype=torch.float64))
