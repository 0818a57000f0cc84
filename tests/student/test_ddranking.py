"""DD-Ranking's scores, on numbers worked out by hand."""

import math

import pytest

from distill.student.comparison.ddranking import (
    augmentation_robust_score,
    format_scores,
    hard_label_recovery,
    improvement_over_random,
    label_robust_score,
    normalise,
    rank_columns,
)


def make_rows(*cells: tuple[str, str, float], protocol: str = "dc") -> list[dict[str, object]]:
    return [
        {"protocol": protocol, "network": "lenet", "items": items, "kind": kind, "mean": mean}
        for items, kind, mean in cells
    ]


ALL = make_rows(("all 9", "all real items", 0.99), protocol="ordinary training")
SOFT = make_rows(
    ("distilled", "set", 0.9), ("distilled, hard labels", "hard labels", 0.79), ("random", "baseline", 0.5),
    ("random, teacher labels", "baseline", 0.6), ("distilled, no augmentation", "no augmentation", 0.8),
    ("random, teacher labels, no augmentation", "no augmentation", 0.7),
)  # fmt: skip


def test_the_formulas_are_those_of_the_paper() -> None:
    assert hard_label_recovery(0.99, 0.79) == pytest.approx(0.2)
    assert improvement_over_random(0.9, 0.6) == pytest.approx(0.3)
    expected = (math.exp(0.05) - math.exp(-1)) / (math.e - math.exp(-1))  # 0.5 · 0.3 - 0.5 · 0.2
    assert label_robust_score(0.2, 0.3) == pytest.approx(expected)
    assert label_robust_score(0.2, 0.3, weight=1) == pytest.approx(normalise(0.3))
    assert augmentation_robust_score(0.3, 0.1) == pytest.approx(normalise(0.2))


def test_scores_are_shares_from_the_worst_to_the_best() -> None:
    assert label_robust_score(1, -1) == pytest.approx(0)
    assert label_robust_score(-1, 1) == pytest.approx(1)
    assert augmentation_robust_score(-1, -1) == pytest.approx(0)


def test_random_items_are_labelled_as_the_set_is() -> None:
    (scores,) = rank_columns([*SOFT, *ALL])
    assert scores == {
        "protocol": "dc", "network": "lenet", "hlr": pytest.approx(0.2), "ior": pytest.approx(0.3),
        "lrs": pytest.approx(label_robust_score(0.2, 0.3)), "ars": pytest.approx(normalise(0.2)),
    }  # fmt: skip
    hard = make_rows(("distilled", "set", 0.9), ("random", "baseline", 0.5))
    (scores,) = rank_columns([*hard, *ALL])
    assert (scores["hlr"], scores["ior"]) == (pytest.approx(0.09), pytest.approx(0.4))


def test_a_missing_cell_leaves_a_score_out() -> None:
    (scores,) = rank_columns(make_rows(("distilled", "set", 0.9), ("random", "baseline", 0.5)))
    assert scores["ior"] == pytest.approx(0.4)
    assert [scores[name] for name in ("hlr", "lrs", "ars")] == [None] * 3
    assert format_scores([scores]).splitlines()[2] == "| dc, lenet | - | 40.0 | - | - |"
