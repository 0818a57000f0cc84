"""GGT: its preconditioner in closed form, and what it does that a diagonal cannot."""

import pytest
import torch
from torch import Tensor

from distill.inner.rules import Adam
from distill.outer.full_matrix import GGT
from distill.outer.loop import OuterOptimizer

RATE = [torch.tensor(0.1, dtype=torch.float64)]


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(shape)))


def test_the_preconditioner_is_the_inverse_root_of_the_gradients_product() -> None:
    window, m = draw(8, 5), draw(5)
    values, vectors = torch.linalg.eigh(window.T @ window)
    expected = vectors @ (vectors.T @ m / values.sqrt())
    rule = GGT(window=8, decay=1.0, damping=0.0)
    torch.testing.assert_close(rule.precondition(m, window), expected)


def test_a_gradient_counts_less_by_each_step_of_its_age() -> None:
    window, m = draw(4, 6), draw(6)
    faded = window * 0.5 ** (torch.arange(3, -1, -1, dtype=torch.float64)[:, None] / 2)
    plain, fading = GGT(window=4, decay=1.0), GGT(window=4, decay=0.5)
    torch.testing.assert_close(fading.precondition(m, window), plain.precondition(m, faded))


def test_a_rotation_of_all_gradients_rotates_the_direction() -> None:
    rule, window, m = GGT(window=6), draw(6, 9), draw(9)
    rotation = torch.linalg.qr(draw(9, 9))[0]
    rotated = rule.precondition(rotation @ m, window @ rotation.T)
    torch.testing.assert_close(rotated, rotation @ rule.precondition(m, window))


def test_the_first_step_follows_the_gradient_and_is_as_long_as_adams() -> None:
    w, g = [draw(3, 4)], [draw(4, 3).T]
    rule, adam = GGT(), Adam()
    step = w[0] - rule.update(w, rule.start(w), g, RATE)[0][0]
    by_adam = w[0] - adam.update(w, adam.start(w), g, RATE)[0][0]
    torch.testing.assert_close(step, g[0] * by_adam.norm() / g[0].norm())


def test_without_a_gradient_nothing_moves() -> None:
    rule, w = GGT(window=5), [draw(7)]
    after, memory = rule.update(w, rule.start(w), [torch.zeros_like(w[0])], RATE)
    assert torch.equal(after[0], w[0])
    assert all(t.isfinite().all() for t in memory)


def test_a_valley_across_all_numbers_takes_fewer_steps_than_by_adam() -> None:
    rotation = torch.linalg.qr(draw(20, 20))[0]
    hessian = rotation @ torch.diag(torch.logspace(0, -3, 20, dtype=torch.float64)) @ rotation.T

    def descend(rule: GGT | Adam) -> float:
        w, rate = [rotation.sum(dim=1)], 0.05  # Adam ends at 0.02
        memory = rule.start(w)
        for k in range(200):
            lr = torch.tensor(rate * (1 - k / 200), dtype=torch.float64)
            w, memory = rule.update(w, memory, [hessian @ w[0]], [lr])
        return float(w[0] @ hessian @ w[0])

    assert descend(GGT()) < descend(Adam()) / 4


def test_a_weight_moves_as_if_it_were_alone() -> None:
    rule, w, g = GGT(window=3), [draw(2, 3), draw(5)], [draw(3, 2).T, draw(5) + 1]
    together = rule.update(w, rule.start(w), g, RATE * 2)[0]
    alone = [rule.update([a], rule.start([a]), [b], RATE)[0][0] for a, b in zip(w, g, strict=True)]
    for a, b in zip(together, alone, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize(("step", "factor"), [(0, 0.1), (9, 1.0), (49, 1.0), (50, 0.1), (54, 0.5), (99, 1.0)])
def test_the_rates_warm_up_again_after_a_restart(step: int, factor: float) -> None:
    optimizer = OuterOptimizer(warmup=10, restarts=(50, 500))
    assert optimizer.warm_up(step, step / 1000) == pytest.approx(factor)
