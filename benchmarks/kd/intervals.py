"""Intervals of differences between networks: a bootstrap over training seeds and test items together.

A difference of two networks is a matrix d (seeds, items): 1 where the first alone is right, -1 where the
second alone is. Its mean is the difference of accuracies. Both the seeds and the items are samples: another
seed trains other networks, another test set holds other items. So both are drawn again with replacement and
independently (the pigeonhole bootstrap: Owen 2007, "The pigeonhole bootstrap", eq. 2).
"""

from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]
DRAWS = 4000
WIDEST = 0.01  # of an interval that holds zero, for "not shown" rather than "undecided": one point
# Student's t at 97.5 % and at 80 %, by degrees of freedom
T = {1: (12.71, 1.38), 2: (4.30, 1.06), 3: (3.18, 0.98), 4: (2.78, 0.94), 5: (2.57, 0.92), 6: (2.45, 0.91),
     7: (2.36, 0.90), 8: (2.31, 0.89), 9: (2.26, 0.88), 14: (2.14, 0.87), 19: (2.09, 0.86)}  # fmt: skip


@dataclass(frozen=True)
class Interval:
    """A mean difference with its 95 % interval, as shares; `smallest` is the effect that it could show."""

    mean: float
    low: float
    high: float
    smallest: float
    seeds: int
    items: int

    @property
    def verdict(self) -> str:
        """shown, opposite, not shown, or undecided where an interval that holds 0 is wider than a point."""
        if self.low > 0:
            return "shown"
        if self.high < 0:
            return "opposite"
        return "not shown" if self.high - self.low <= WIDEST else "undecided"


def bootstrap(differences: Matrix, draws: int = DRAWS, seed: int = 0) -> Interval:
    """The interval of the mean of differences (seeds, items); infinite for one seed.

    Its ends are percentiles of the bootstrap means, taken further out for few seeds as Student's t does:
    at Φ(-√(s / (s - 1)) · t) in the place of 2.5 % (Hesterberg 2015, "What teachers should know about the
    bootstrap", section 5.3). `smallest` is the true difference that such an interval would show in four of
    five repetitions: (t₀.₉₇₅ + t₀.₈) standard errors.
    """
    seeds, items = differences.shape
    mean = float(differences.mean())
    if seeds < 2:
        return Interval(mean, -np.inf, np.inf, np.inf, seeds, items)
    t_95, t_80 = T[max(k for k in T if k <= seeds - 1)]
    widening = (seeds / (seeds - 1)) ** 0.5
    tail = NormalDist().cdf(-widening * t_95)
    means = draw_means(differences, draws, seed)
    low, high = np.quantile(means, [tail, 1 - tail])
    smallest = widening * float(means.std()) * (t_95 + t_80)
    return Interval(mean, float(low), float(high), smallest, seeds, items)


def draw_means(differences: Matrix, draws: int, seed: int) -> Matrix:
    """The means of differences over seeds and items drawn again, (draws,)."""
    seeds, items = differences.shape
    chosen = count_draws(seeds, draws, seed + 1)
    by_item = chosen @ differences  # (draws, items): the sum over the drawn seeds
    means: Matrix = np.einsum("bi,bi->b", by_item, count_draws(items, draws, seed)) / (seeds * items)
    return means


@lru_cache(maxsize=8)
def count_draws(size: int, draws: int, seed: int) -> Any:
    """How often each of `size` things is drawn in each of the draws with replacement, (draws, size)."""
    generator = np.random.default_rng(seed)
    picks = generator.integers(0, size, (draws, size))
    flat = (picks + size * np.arange(draws)[:, None]).ravel()
    return np.bincount(flat, minlength=draws * size).reshape(draws, size).astype(np.float32)
