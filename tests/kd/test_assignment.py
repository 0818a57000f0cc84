"""The best assignment of clusters to classes: that of all orders on small tables, and large tables at all."""

from itertools import permutations

import pytest
import torch

from distill.kd.assignment import largest_assignment
from distill.randomness import stream


@pytest.mark.parametrize("size", range(1, 7))
@pytest.mark.parametrize("most", [2, 5, 1000])
def test_it_is_the_best_of_all_orders(size: int, most: int) -> None:
    """Many ties, few, and none."""
    for seed in range(10):
        counts = torch.randint(most, (size, size), generator=stream("counts", size, most, seed))
        totals = [int(counts[torch.arange(size), list(order)].sum()) for order in permutations(range(size))]
        assert largest_assignment(counts) == max(totals)


def test_a_table_of_a_hundred_classes_is_no_matter_of_subsets() -> None:
    """Trying all sets of columns would take 2^100 of them. The diagonal is best, in any order of the rows."""
    generator = stream("large")
    counts = torch.randint(50, (100, 100), generator=generator) + 50 * torch.eye(100).long()
    assert largest_assignment(counts) == largest_assignment(counts[torch.randperm(100, generator=generator)])
    assert largest_assignment(counts) >= int(counts.trace())
    assert largest_assignment(100 * torch.eye(100).long() + 7) == 100 * 107
    assert largest_assignment(torch.zeros(100, 100).long()) == 0
