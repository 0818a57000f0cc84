"""Which of a run's states is exported: the latest that is not clearly below the highest score of all."""

import pytest

from distill.runs.descent import Candidate, choose


def choose_step(scores: list[float], margin: float) -> int:
    """The step of the state that is exported after scores at steps 1, 2, …"""
    best = Candidate(-1.0, 0, {})
    for step, score in enumerate(scores, 1):
        best = choose(Candidate(score, step, {}), best, margin)
    return best.step


@pytest.mark.parametrize(("scores", "margin", "step"), [
    ([0.80, 0.90, 0.88], 0.03, 3),
    ([0.90, 0.88, 0.86, 0.84, 0.82, 0.80], 0.03, 2),  # small losses do not add up
    ([0.90, 0.88, 0.86, 0.88], 0.03, 4),
    ([0.90, 0.80, 0.95, 0.93], 0.0, 3),
    ([0.5, 0.5], 0.0, 2),
])  # fmt: skip
def test_small_losses_do_not_add_up(scores: list[float], margin: float, step: int) -> None:
    assert choose_step(scores, margin) == step
