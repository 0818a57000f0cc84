"""The time that is left: at the pace of each stage, or at the mean pace where a stage has not begun."""

import math

import pytest

from distill.kd.state.run import Progress
from distill.runs.recipes import progress as module
from distill.runs.recipes.progress import ProgressBar, estimate_seconds_left, format_left


def test_a_stage_that_has_begun_goes_on_at_its_own_pace() -> None:
    assert estimate_seconds_left([5, 0], [5, 0], [10.0, 0.0]) == 10
    assert estimate_seconds_left([0, 3], [10, 2], [1.0, 8.0]) == 12


def test_a_stage_that_has_not_begun_takes_the_mean_pace_of_all_batches() -> None:
    assert estimate_seconds_left([0, 0, 6], [2, 2, 0], [4.0, 8.0, 0.0]) == 18
    assert estimate_seconds_left([2, 10], [8, 0], [8.0, 0.0]) == 2 + 10


def test_twice_the_batches_and_half_the_pace_take_the_same_time() -> None:
    left, done, seconds = [4, 7, 2], [3, 1, 0], [6.0, 1.0, 0.0]
    twice = [2 * n for n in left], [2 * n for n in done], seconds
    assert estimate_seconds_left(*twice) == pytest.approx(estimate_seconds_left(left, done, seconds))


def test_nothing_is_known_before_the_first_batch_and_nothing_is_left_at_the_end() -> None:
    assert math.isnan(estimate_seconds_left([3], [0], [0.0]))
    assert estimate_seconds_left([0, 0], [3, 4], [1.0, 2.0]) == 0


def test_times_in_words() -> None:
    cases = {math.nan: "", 0.4: "0 s left", 89.0: "89 s left", 91.0: "2 min left", 7200.0: "2 h 0 min left",
             3599.0: "1 h 0 min left", 11_100.0: "3 h 5 min left"}  # fmt: skip
    assert [format_left(seconds) for seconds in cases] == list(cases.values())


def test_a_line_says_stage_share_losses_and_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = iter([0.0, 2.0, 4.0, 12.0])  # when the bar is made, and at each batch
    monkeypatch.setattr(module.time, "perf_counter", lambda: next(clock))
    bar = ProgressBar([4, 6])
    for share, losses in ((0.25, (1.5, 0.25)), (0.5, (1.25, 0.125)), (0.75, (1.0, 0.5))):
        bar.show(Progress(1, 2, share, losses))
    bar.close()
    # 12 s for three batches of four: one more, and six of the next stage, at 4 s each
    assert capsys.readouterr().err == "stage 1 of 2, 75 %, loss 1.000 0.500, 28 s left\n"


def test_a_run_that_goes_on_counts_what_is_left_and_not_what_was_done_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = iter([0.0, 3.0])
    monkeypatch.setattr(module.time, "perf_counter", lambda: next(clock))
    bar, progress = ProgressBar([10, 10, 10]), Progress(2, 3, 0.9, (1.0,))
    bar.show(progress)
    assert bar.count_left(progress) == [0, 1, 10]
    assert bar.describe(progress) == "loss 1.000, 33 s left"
