"""Scores as the reader sees them, and pictures that show what was learned."""

import statistics
from pathlib import Path

import matplotlib.image
import pytest
import torch

from distill.report.pictures import curve, picture, running_mean
from distill.report.tables import table
from distill.student.scores import Report
from tests.helpers import waves


def test_a_report_is_mean_sample_std_and_n() -> None:
    report = Report("x", (0.5, 0.6, 0.8))
    assert report.summary() == {
        "mean": pytest.approx(0.6333, abs=1e-4),
        "std": statistics.stdev((0.5, 0.6, 0.8)),
        "n": 3,
    }
    assert report.text() == "63.33 ± 15.28 % (n = 3)"


def test_one_score_has_no_spread() -> None:
    assert Report("x", (0.935,)).summary() == {"mean": 0.935, "std": 0.0, "n": 1}
    assert Report("x", (0.935,)).text() == "93.50 %"


def test_a_table_lines_its_rows_up() -> None:
    text = table([Report("a", (0.5,)), Report("longer", (0.25,))], "title")
    assert text == "title\n  a       50.00 %\n  longer  25.00 %"


@pytest.mark.parametrize("channels", [1, 3])
def test_the_picture_shows_every_item_and_its_label(tmp_path: Path, channels: int) -> None:
    items = waves(12, channels, 8, 8).float()
    source = {"classes": "abc", "mean": [0.0] * channels, "std": [1.0] * channels}
    picture(tmp_path / "a.png", items, waves(12, 3).float(), source)
    full = matplotlib.image.imread(tmp_path / "a.png")
    picture(tmp_path / "b.png", items[:3], waves(3, 3).float(), source)
    few = matplotlib.image.imread(tmp_path / "b.png")
    assert full.shape[0] > 1.7 * few.shape[0]
    assert full.shape[1] > 3 * few.shape[1]
    assert full[..., :3].std() > 0.1


def test_the_curve_skips_what_was_not_finite(tmp_path: Path) -> None:
    log = [{"step": 1, "loss": 2.0}, {"step": 2, "loss": None}, {"step": 3, "loss": 1.0, "validation": 0.5}]
    curve(tmp_path / "c.png", log)
    assert matplotlib.image.imread(tmp_path / "c.png")[..., :3].std() > 0.01


def test_the_running_mean_looks_back_only() -> None:
    assert running_mean([1.0, 3.0, 5.0, 7.0], 2) == [1.0, 2.0, 4.0, 6.0]
    assert torch.tensor(running_mean([2.0] * 9, 4)).eq(2).all()
