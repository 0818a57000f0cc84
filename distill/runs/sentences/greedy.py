"""Which real texts: those whose kernel ridge regression, fitted on them alone, predicts all texts best.

Notation: N texts with centred labels Y (N, C); M of them are candidates, with labels L (M, C); S are the
chosen ones. A space gives a kernel k. Ridge regression on S predicts f = K_S a with
a = (k_SS + λ 1)⁻¹ L_S, where K (N, M) holds the kernel between all texts and the candidates. A candidate c
that joins S adds the multiple r_c / s_c of g_c = K_c - K_S (k_SS + λ 1)⁻¹ k_Sc to f: r_c = L_c - f(c) is
what f leaves of its label, and s_c = k_cc + λ - k_cS (k_SS + λ 1)⁻¹ k_Sc. All that is needed of the N texts
are KᵀK and KᵀY, which are computed once, so that a step looks at all candidates in O(|S|² M).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

RIDGE = 0.3
SWEEPS = 5  # at most, in which each chosen text is compared with all others in its place
LEAST_GAIN = 1e-6  # of a sweep, below which it was the last


@dataclass(frozen=True)
class Space:
    """What ridge regression needs of one kernel: k of the candidates (M, M), KᵀK (M, M) and KᵀY (M, C)."""

    kernel: Float[Tensor, "M M"]
    products: Float[Tensor, "M M"]
    targets: Float[Tensor, "M C"]


def build_space(
    features: Float[Tensor, "N f"], candidates: Int[Tensor, " M"], labels: Float[Tensor, "N C"]
) -> Space:
    """The space of the inner products of features, whose rows have length 1."""
    chosen = features[candidates]
    kernel = features @ chosen.T
    return Space(chosen @ chosen.T, kernel.T @ kernel, kernel.T @ (labels / labels.norm()))


def choose_greedily(
    spaces: Sequence[Space], labels: Float[Tensor, "M C"], n: int, ridge: float = RIDGE, sweeps: int = SWEEPS
) -> list[int]:
    """n candidates: one joins after the other, then each is exchanged for the best one in its place.

    Best is the largest sum over spaces of the explained share, see score_candidates().
    """
    chosen: list[int] = []
    for _ in range(n):
        chosen.append(find_best(spaces, labels, chosen, ridge)[0])
    last = -1.0
    for _ in range(sweeps):
        for _ in range(n):
            others = chosen[1:]
            best, value = find_best(spaces, labels, others, ridge)
            chosen = [*others, best]
        if value - last < LEAST_GAIN:
            break
        last = value
    return chosen


def find_best(spaces: Sequence[Space], labels: Tensor, chosen: list[int], ridge: float) -> tuple[int, float]:
    """The candidate that raises the sum of the explained shares most, and that sum."""
    total = sum(score_candidates(space, labels, chosen, ridge) for space in spaces)
    assert isinstance(total, Tensor)
    total[chosen] = -torch.inf
    best = int(total.argmax())
    return best, float(total[best])


def score_candidates(
    space: Space, labels: Float[Tensor, "M C"], chosen: list[int], ridge: float = RIDGE
) -> Float[Tensor, " M"]:
    """For each candidate c, the share of |Y|² explained by the predictions f of the chosen and c.

    It is ⟨Y, f⟩² / |f|², of f at its best scale: a network finds the scale of its outputs itself, and few
    texts predict numbers near zero. It is negative where ⟨Y, f⟩ is.
    """
    k, products, targets = space.kernel, space.products, space.targets
    rows = k[chosen]
    inverse = torch.linalg.inv(rows[:, chosen] + ridge * torch.eye(len(chosen)).to(k))
    solved = inverse @ rows  # (|S|, M): g_c = K_c - K_S solved_c
    weights = inverse @ labels[chosen]
    residual = (labels - rows.T @ weights) / (k.diagonal() + ridge - (rows * solved).sum(dim=0))[:, None]
    inner = products[chosen]
    among = inner[:, chosen]
    g_targets = targets - solved.T @ targets[chosen]
    g_f = (inner - among @ solved).T @ weights
    g_g = products.diagonal() - 2 * (solved * inner).sum(dim=0) + (solved * (among @ solved)).sum(dim=0)
    covariance = (targets[chosen] * weights).sum() + (g_targets * residual).sum(dim=1)
    square = (weights * (among @ weights)).sum() + 2 * (g_f * residual).sum(dim=1)
    square = square + g_g * residual.square().sum(dim=1)
    return covariance.sign() * covariance.square() / square.clamp(min=1e-12)
