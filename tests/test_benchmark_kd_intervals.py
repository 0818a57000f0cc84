"""Laws of the intervals: they hold the true difference about 95 times in 100, whatever varies."""

import numpy as np
import pytest

from benchmarks.kd.intervals import Interval, bootstrap, count_draws

SEEDS, ITEMS = 10, 300


def draw_differences(rng: np.random.Generator, by_seed: float, by_item: float, rest: float) -> np.ndarray:
    """Differences of mean 0 that vary by seed, by item, and by both together."""
    seeds, items = rng.normal(0, by_seed, (SEEDS, 1)), rng.normal(0, by_item, (1, ITEMS))
    return seeds + items + rng.normal(0, rest, (SEEDS, ITEMS))


@pytest.mark.parametrize(
    ("by_seed", "by_item", "rest"), [(0.01, 0.02, 0.1), (0.0, 0.2, 0.1), (0.02, 0.2, 0.1), (0.005, 0.2, 0.1)]
)
def test_an_interval_holds_the_truth_about_95_times_in_100(
    by_seed: float, by_item: float, rest: float
) -> None:
    rng = np.random.default_rng(0)
    intervals = [bootstrap(draw_differences(rng, by_seed, by_item, rest), 800) for _ in range(400)]
    share = np.mean([i.low <= 0 <= i.high for i in intervals])
    assert 0.92 <= share <= 0.995


def test_seeds_alone_would_leave_out_the_test_items() -> None:
    """Where all seeds agree, an interval over seeds alone has no width; that of the items remains."""
    items = np.tile(np.repeat([1.0, -1.0, 0.0], [12, 8, 280]), (SEEDS, 1))
    result = bootstrap(items)
    spread = 2.384 * items[0].std() / ITEMS**0.5  # √(10 / 9) · t of nine degrees
    assert result.mean == pytest.approx(4 / 300)
    assert result.low == pytest.approx(result.mean - spread, rel=0.25)
    assert result.high == pytest.approx(result.mean + spread, rel=0.25)


def test_items_alone_would_leave_out_the_seeds() -> None:
    seeds = np.repeat(np.linspace(-0.1, 0.1, SEEDS)[:, None], ITEMS, axis=1)
    result = bootstrap(seeds, 8000)
    half = 2.262 * np.linspace(-0.1, 0.1, SEEDS).std(ddof=1) / SEEDS**0.5  # Student's t
    assert (result.high - result.low) / 2 == pytest.approx(half, rel=0.08)


def test_the_order_of_items_and_seeds_changes_little_and_a_shift_is_a_shift() -> None:
    rng = np.random.default_rng(1)
    d = draw_differences(rng, 0.01, 0.1, 0.1)
    first, second = bootstrap(d), bootstrap(d[rng.permutation(SEEDS)][:, rng.permutation(ITEMS)])
    assert second.low == pytest.approx(first.low, abs=0.15 * (first.high - first.low))
    shifted = bootstrap(d + 0.5)
    assert (shifted.low, shifted.high) == (pytest.approx(first.low + 0.5), pytest.approx(first.high + 0.5))


def test_a_mirrored_difference_has_about_the_mirrored_interval() -> None:
    d = draw_differences(np.random.default_rng(2), 0.01, 0.1, 0.1)
    first, mirrored = bootstrap(d), bootstrap(-d)
    assert (mirrored.low, mirrored.high) == (pytest.approx(-first.high), pytest.approx(-first.low))


def test_an_effect_of_the_smallest_size_is_shown_four_times_in_five() -> None:
    rng = np.random.default_rng(3)
    smallest = np.mean([bootstrap(draw_differences(rng, 0.01, 0.2, 0.1), 800).smallest for _ in range(50)])
    results = [bootstrap(draw_differences(rng, 0.01, 0.2, 0.1) + smallest, 800) for _ in range(300)]
    assert np.mean([r.verdict == "shown" for r in results]) == pytest.approx(0.8, abs=0.12)


def test_one_seed_decides_nothing() -> None:
    result = bootstrap(np.ones((1, 50)))
    assert (result.mean, result.low, result.high, result.verdict) == (1.0, -np.inf, np.inf, "undecided")


@pytest.mark.parametrize(
    ("low", "high", "word"),
    [
        (0.001, 0.2, "shown"),
        (-0.2, -0.001, "opposite"),
        (-0.004, 0.005, "not shown"),
        (-0.004, 0.007, "undecided"),
    ],
)
def test_a_verdict_is_a_word_of_the_interval(low: float, high: float, word: str) -> None:
    assert Interval((low + high) / 2, low, high, 0.01, 10, 100).verdict == word


def test_draws_are_with_replacement_and_of_the_same_size() -> None:
    counts = count_draws(20, 3000, 0)
    assert counts.shape == (3000, 20)
    assert set(counts.sum(axis=1).tolist()) == {20}
    assert counts.var() == pytest.approx(0.95, rel=0.05)  # of a binomial: 20 · (1 / 20) · (19 / 20)
