"""Losses on features and relations beside sums that are written out from the papers' equations."""

import itertools
import math

import pytest
from torch import Tensor

from distill.kd.losses import KD_LOSSES, features, relations
from tests.helpers import waves

ITEMS = 5


def attend(maps: Tensor) -> list[float]:
    """Q / |Q| of one item: Q = Σ_channels A², place by place (Zagoruyko and Komodakis 2017, eq. 1 and 2)."""
    channels, height, width = maps.shape
    q = [
        sum(float(maps[c, i, j]) ** 2 for c in range(channels))
        for i, j in itertools.product(range(height), range(width))
    ]
    length = math.sqrt(sum(value**2 for value in q))
    return [value / length for value in q]


def huber(a: float, b: float) -> float:
    """Huber loss with δ = 1 (Park et al. 2019, section 3.2)."""
    return (a - b) ** 2 / 2 if abs(a - b) <= 1 else abs(a - b) - 0.5


def distance(a: Tensor, b: Tensor) -> float:
    return math.sqrt(sum(float(u - v) ** 2 for u, v in zip(a, b, strict=True)))


def angle(a: Tensor, b: Tensor, c: Tensor) -> float:
    """The cosine of the angle at b; 0 where two of the items are one."""
    if distance(a, b) == 0 or distance(c, b) == 0:
        return 0.0
    dot = sum(float((u - v) * (w - v)) for u, v, w in zip(a, b, c, strict=True))
    return dot / (distance(a, b) * distance(c, b))


def make_features() -> tuple[Tensor, Tensor]:
    """Features of a student and of a wider teacher, some of whose distances differ by more than δ."""
    student, teacher = waves(ITEMS, 3, phase=0.3), waves(ITEMS, 7, phase=2.0)
    teacher[0] *= 30
    return student, teacher


@pytest.mark.parametrize("sizes", [(3, 4), (8, 8)])
def test_attention_is_the_squared_distance_of_unit_maps(sizes: tuple[int, int]) -> None:
    student, teacher = waves(ITEMS, 2, *sizes), waves(ITEMS, 6, *sizes, phase=1.0)
    pairs = [(attend(s), attend(t)) for s, t in zip(student, teacher, strict=True)]
    total = sum((u - v) ** 2 for q_s, q_t in pairs for u, v in zip(q_s, q_t, strict=True))
    assert float(features.attention(student, teacher)) == pytest.approx(total / ITEMS)


def test_the_published_weight_of_attention_is_over_the_places_and_the_batch() -> None:
    """β = 10³ over the number of elements of the map and of the batch, by the layer."""
    student, teacher = waves(ITEMS, 2, 4, 4), waves(ITEMS, 6, 4, 4, phase=1.0)
    pairs = [(attend(s), attend(t)) for s, t in zip(student, teacher, strict=True)]
    total = sum((u - v) ** 2 for q_s, q_t in pairs for u, v in zip(q_s, q_t, strict=True))
    expected = 1e3 / (16 * ITEMS) * total
    mean_form = KD_LOSSES["attention-mean"].weight * features.attention_mean(student, teacher)
    assert float(mean_form) == pytest.approx(expected)
    assert float(1e3 / 16 * features.attention(student, teacher)) == pytest.approx(expected)


def test_distances_are_over_their_mean_and_compared_by_huber_s_loss() -> None:
    """ψ = |t_i - t_j| / μ, μ the mean over pairs of different items; the mean is over all N² pairs."""
    student, teacher = make_features()
    pairs = list(itertools.permutations(range(ITEMS), 2))
    potentials = []
    for x in (student, teacher):
        d = [distance(x[i], x[j]) for i, j in pairs]
        potentials.append([value * len(pairs) / sum(d) for value in d])
    terms = [huber(s, t) for s, t in zip(*potentials, strict=True)]
    assert max(abs(s - t) for s, t in zip(*potentials, strict=True)) > 1
    assert float(relations.rkd_distance(student, teacher)) == pytest.approx(sum(terms) / ITEMS**2)


def test_angles_are_those_at_the_middle_item_of_three() -> None:
    """ψ = cos ∠ t_i t_j t_k with its corner at t_j; the mean is over all N³ triples."""
    student, teacher = make_features()
    triples = itertools.product(range(ITEMS), repeat=3)
    terms = [
        huber(angle(student[i], student[j], student[k]), angle(teacher[i], teacher[j], teacher[k]))
        for i, j, k in triples
    ]
    assert max(terms) > 0.5
    assert float(relations.rkd_angle(student, teacher)) == pytest.approx(sum(terms) / ITEMS**3)
