"""What a learned embedding is made of: real ones with positive weights, by non-negative least squares."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

TOLERANCE = 1e-9  # of the gradient, relative to its first largest value: less is rounding


def fit_mixture(
    atoms: Float[Tensor, "N dim"], target: Float[Tensor, " dim"], most: int | None = None
) -> tuple[Int[Tensor, " k"], Float[Tensor, " k"]]:
    """The atoms whose sum with positive weights w is nearest to the target, and their weights (float64).

    It minimises |wᵀ atoms - target|² subject to w ≥ 0 by the active-set method of Lawson and Hanson (1974,
    chapter 23): the atom with the largest positive gradient joins, least squares are solved on the chosen,
    and those whose weight would be negative leave. The result is exact where `most` is None; else it ends
    with at most so many atoms, which is non-negative orthogonal matching pursuit. The chosen come in the
    order of their weights.
    """
    atoms, target = atoms.double(), target.double()
    weights = torch.zeros(len(atoms), dtype=torch.float64)
    chosen = torch.zeros(len(atoms), dtype=torch.bool)
    gradient = atoms @ target
    least = TOLERANCE * max(float(gradient.abs().max()), 1e-300)
    limit = min(len(atoms), atoms.shape[1]) if most is None else most
    for _ in range(3 * len(atoms)):
        candidates = gradient.masked_fill(chosen, -torch.inf)
        if int(chosen.sum()) >= limit or float(candidates.max()) <= least:
            break
        chosen[candidates.argmax()] = True
        weights, chosen = solve_positive(atoms, target, weights, chosen)
        gradient = atoms @ (target - weights @ atoms)
    places = torch.nonzero(chosen).flatten()
    places = places[weights[places].argsort(descending=True)]
    return places, weights[places]


def solve_positive(
    atoms: Tensor, target: Tensor, weights: Float[Tensor, " N"], chosen: Tensor
) -> tuple[Float[Tensor, " N"], Tensor]:
    """Least squares on the chosen atoms, on the way to which atoms leave whose weight would be negative."""
    while True:
        places = torch.nonzero(chosen).flatten()
        solution = torch.zeros_like(weights)
        solution[places] = torch.linalg.lstsq(atoms[places].T, target[:, None]).solution[:, 0]
        if bool((solution[places] > 0).all()):
            return solution, chosen
        falling = chosen & (solution <= 0)
        share = weights / (weights - solution)
        step = float(share[falling].min())
        weights = weights + step * (solution - weights)
        leaving = falling & (share <= step + 1e-12)
        weights, chosen = weights.masked_fill(leaving, 0), chosen & ~leaving


def share_explained(atoms: Tensor, target: Tensor, places: Tensor, weights: Tensor) -> float:
    """1 - |residual|² / |target|² of a mixture: 1 where it is the target itself; 0 for a target of zeros."""
    target = target.double()
    residual = target - weights @ atoms[places].double()
    square = float(target.square().sum())
    return 1 - float(residual.square().sum()) / square if square else 0.0
