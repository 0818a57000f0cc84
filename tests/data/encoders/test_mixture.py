"""Non-negative least squares against its optimality conditions and against every subset."""

from itertools import combinations

import pytest
import torch

from distill.data.encoders.mixture import fit_mixture, share_explained


def draw(atoms: int, dim: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(atoms + 1, dim, generator=generator, dtype=torch.float64)
    return values[:-1], values[-1]


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(("atoms", "dim"), [(5, 8), (40, 6), (30, 30)])
def test_the_mixture_is_optimal(atoms: int, dim: int, seed: int) -> None:
    """Karush, Kuhn and Tucker: w ≥ 0, the gradient is zero on the chosen and not positive elsewhere."""
    x, target = draw(atoms, dim, seed)
    places, weights = fit_mixture(x, target)
    gradient = x @ (target - weights @ x[places])
    assert (weights > 0).all()
    assert float(gradient.max()) < 1e-8
    torch.testing.assert_close(gradient[places], torch.zeros_like(weights), atol=1e-8, rtol=0)


def test_no_subset_of_atoms_is_nearer() -> None:
    x, target = draw(6, 4, 3)
    places, weights = fit_mixture(x, target)
    best = share_explained(x, target, places, weights)
    for count in range(1, 5):
        for subset in combinations(range(6), count):
            rows = torch.tensor(subset)
            solution = torch.linalg.lstsq(x[rows].T, target[:, None]).solution[:, 0]
            if (solution >= 0).all():
                assert share_explained(x, target, rows, solution) <= best + 1e-12


def test_a_sum_of_atoms_is_found_again() -> None:
    x, _ = draw(50, 30, 0)
    target = 2.0 * x[7] + 0.5 * x[31]
    places, weights = fit_mixture(x, target, most=5)
    assert places.tolist() == [7, 31]
    torch.testing.assert_close(weights, torch.tensor([2.0, 0.5], dtype=torch.float64))
    assert share_explained(x, target, places, weights) == pytest.approx(1)


def test_so_many_atoms_are_the_most() -> None:
    x, target = draw(40, 30, 1)
    shares = [share_explained(x, target, *fit_mixture(x, target, most)) for most in (1, 2, 4, 8)]
    assert shares == sorted(shares)
    assert [len(fit_mixture(x, target, most)[0]) for most in (1, 2, 4)] == [1, 2, 4]


def test_a_target_behind_all_atoms_has_no_mixture() -> None:
    places, weights = fit_mixture(torch.eye(3), -torch.ones(3))
    assert len(places) == len(weights) == 0
    assert share_explained(torch.eye(3), -torch.ones(3), places, weights) == 0
