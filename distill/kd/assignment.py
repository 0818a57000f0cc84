"""The best one-to-one assignment of the rows of a table to its columns, in the cube of its size.

Shortest augmenting paths (Jonker and Volgenant 1987), in whole numbers: scipy's linear_sum_assignment is the
same, and no dependency of this package needs scipy. Notation: cost(i, j) - u(i) - v(j) is at least 0, and 0
for each assigned pair. Column 0 is one more, from which the path of a new row begins.
"""

import numpy as np
import numpy.typing as npt
from torch import Tensor

Integers = npt.NDArray[np.int64]
LARGE = 2**62


def largest_assignment(counts: Tensor) -> int:
    """The largest total of a square table (n, n) of whole numbers with one cell per row and column: O(n³)."""
    n = len(counts)
    cost = -counts.cpu().numpy().astype(np.int64)
    u, v, rows = (
        np.zeros(n + 1, np.int64) for _ in range(3)
    )  # rows: that of each column, from 1; 0 for none
    for row in range(1, n + 1):
        rows[0] = row
        column, before = find_free_column(cost, u, v, rows)
        while column:
            rows[column] = rows[before[column]]
            column = int(before[column])
    return -int(cost[rows[1:] - 1, np.arange(n)].sum())


def find_free_column(cost: Integers, u: Integers, v: Integers, rows: Integers) -> tuple[int, Integers]:
    """The free column at the end of the cheapest path from column 0, and the column before each on the way.

    u and v are moved so that the path has cost 0.
    """
    distance, before = np.full(len(rows), LARGE), np.zeros(len(rows), np.int64)
    is_done, column = np.zeros(len(rows), bool), 0
    while rows[column]:
        is_done[column] = True
        row = rows[column]
        reduced = np.append(LARGE, cost[row - 1] - u[row] - v[1:])
        is_nearer = ~is_done & (reduced < distance)
        distance[is_nearer], before[is_nearer] = reduced[is_nearer], column
        column = int(np.where(is_done, LARGE, distance).argmin())
        step = distance[column]
        u[rows[is_done]] += step
        v[is_done] -= step
        distance[~is_done] -= step
    return column, before
