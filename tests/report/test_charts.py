"""Axes whose ticks differ, lines and bars that have the right lengths."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from distill.report import charts
from distill.report.charts import (
    draw_bars,
    draw_curve,
    group_values,
    linear_axis,
    log_axis,
    step_axis,
    value_axis,
)

SIZES = st.floats(1e-12, 1e12)


def read_label(label: str) -> float:
    return float(label.replace(",", "").removesuffix(" %"))


@given(SIZES, SIZES)
def test_ticks_differ_and_their_labels_give_their_values(a: float, b: float) -> None:
    low, high = min(a, b), max(a, b)
    for axis in (linear_axis(low, high), value_axis([low, high])):
        assert 2 <= len(axis.ticks) <= 7
        assert len(set(axis.labels)) == len(axis.labels)
        assert axis.low <= low * (1 + 1e-5)
        assert axis.high >= high * (1 - 1e-5)
        assert max(map(len, axis.labels)) <= 14
        spacing = min(b - a for a, b in zip(axis.ticks, axis.ticks[1:], strict=False))
        for tick, label in zip(axis.ticks, axis.labels, strict=True):
            assert read_label(label) == pytest.approx(tick, rel=1e-9, abs=0.01 * spacing)
            assert -1e-3 <= axis.place(tick) <= 1 + 1e-3


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (2.29, 2.303, ["2.290", "2.295", "2.300", "2.305"]),
        (0.2, 1.3, ["0.0", "0.5", "1.0", "1.5"]),
        (-3, 4, ["-4", "-2", "0", "2", "4"]),
        (0, 8000, ["0", "2,000", "4,000", "6,000", "8,000"]),
        (2.3, 2.3, ["2.30", "2.35", "2.40", "2.45"]),
        (0, 0, ["0.0", "0.5", "1.0"]),
        (0, 3e9, ["0", "1e9", "2e9", "3e9"]),
        (1e-7, 2e-7, ["1.0e-7", "1.5e-7", "2.0e-7"]),
    ],
)
def test_a_linear_axis_has_round_ticks(low: float, high: float, labels: list[str]) -> None:
    assert list(linear_axis(low, high).labels) == labels


def test_shares_stay_between_0_and_100_percent() -> None:
    for low, high in ((0, 100), (99.97, 100), (100, 100), (0, 0), (12, 96), (97.1, 97.7)):
        axis = linear_axis(low, high, " %")
        assert axis.low >= 0
        assert axis.high <= 100 + 1e-9
        assert axis.labels[-1].endswith(" %")


def test_the_loss_is_logarithmic_from_a_decade_on() -> None:
    assert not value_axis([0.3, 2.3]).log
    assert value_axis([0.2, 2.3]).labels == ("0.2", "0.5", "1", "2")
    assert log_axis(0.003, 200).labels == ("0.01", "0.1", "1", "10", "100")
    assert len(log_axis(1e-12, 1e12).labels) <= 6
    assert not value_axis([-1.0, 5.0]).log


def test_outer_steps_are_whole_numbers() -> None:
    assert step_axis(2003).labels == ("0", "1,000", "2,000")
    assert step_axis(3).labels == ("0", "1", "2", "3")
    assert step_axis(8000).labels == ("0", "2,000", "4,000", "6,000", "8,000")


def test_a_curve_goes_from_its_first_value_down_to_its_last() -> None:
    curve = draw_curve("loss", [(1, 100.0), (50, 10.0), (100, 1.0)], percent=False)
    assert curve is not None
    assert curve.path == "M10 0.0L500 150.0L1000 300.0"
    assert curve.heights == ((100, "1"), (50, "10"), (0, "100"))
    assert curve.words == "from 100 at step 1 to 1 at step 100; lowest 1 at step 100"
    assert draw_curve("loss", [(1, 2.0)], percent=False) is None
    assert draw_curve("share", [(0, 1.0), (0, 1.0)], percent=True) is None
    flat = draw_curve("share", [(1, 1.0), (2, 1.0)], percent=True)
    assert flat is not None
    assert [label for _, label in flat.heights] == ["94 %", "96 %", "98 %", "100 %"]


def test_a_long_curve_keeps_its_end_and_few_points() -> None:
    curve = draw_curve("loss", [(s, 1 / s) for s in range(1, 10_001)], percent=False)
    assert curve is not None
    assert 300 < curve.path.count("L") <= charts.POINTS
    assert curve.path.endswith(f"L{charts.WIDTH} {charts.HEIGHT:.1f}")


def test_the_running_mean_uses_earlier_values_only() -> None:
    assert charts.running_mean([1.0, 3.0, 5.0, 7.0], 2) == [1.0, 2.0, 4.0, 6.0]
    assert charts.running_mean([2.0] * 9, 4) == [2.0] * 9


def test_bars_stand_on_zero_and_reach_their_values() -> None:
    up, down = draw_bars([1.0, -0.5, 0.0], low=-1.0, high=3.0)
    assert (up, down) == ("M0.1 30.0v-10.0h.8v10.0z", "M1.1 30.0v5.0h.8v-5.0z")
    assert group_values([0.1, -9.0, 0.2] * 84)[:2] == [-9.0, -9.0]  # 252 classes: 84 bars of three
    assert len(group_values([0.0] * 1000)) == 100


def test_learning_rates_are_bars_from_zero_on_an_axis() -> None:
    drawing = charts.draw_lrs([[0.1, 0.3], [0.0, 0.4]])
    assert [label for _, label in drawing["heights"]] == ["0.0", "0.1", "0.2", "0.3", "0.4"]
    assert drawing["bars"] == "M0.1 40.00V20.00h.8V40.00zM1.1 40.00V20.00h.8V40.00z"
    assert drawing["strokes"] == "M0.5 30.00V10.00M1.5 40.00V0.00"
    assert all(math.isfinite(place) for place, _ in charts.draw_lrs([[0.0]])["heights"])
