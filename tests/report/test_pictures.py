"""Pictures of a run folder: what was learned, and its curve with ticks that people can read."""

from pathlib import Path
from typing import Any

import matplotlib.image
import pytest
import torch
from matplotlib.figure import Figure

from distill.report import pictures
from distill.report.pictures import save_curve, save_images
from tests.helpers import waves


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
def test_the_picture_shows_every_item_and_its_label(tmp_path: Path, channels: int) -> None:
    items = waves(12, channels, 8, 8).float()
    source = {"classes": "abc", "mean": [0.0] * channels, "std": [1.0] * channels}
    save_images(tmp_path / "a.png", items, waves(12, 3).float(), source)
    picture_of_twelve = matplotlib.image.imread(tmp_path / "a.png")
    save_images(tmp_path / "b.png", items[:3], waves(3, 3).float(), source)
    picture_of_three = matplotlib.image.imread(tmp_path / "b.png")
    assert picture_of_twelve.shape[0] > 1.7 * picture_of_three.shape[0]
    assert picture_of_twelve.shape[1] > 3 * picture_of_three.shape[1]
    assert picture_of_twelve[..., :3].std() > 0.1


@pytest.mark.parametrize("k", [0, 7, 199])
def test_a_label_of_many_classes_has_bars_that_can_be_seen(k: int) -> None:
    image, bars = Figure().subplots(2)
    label = torch.nn.functional.one_hot(torch.tensor(k), 200).float()
    pictures.draw_label(bars, label)
    assert [bar.get_height() for bar in bars.patches] == [float(i == k // 4) for i in range(50)]
    names = [f"a class whose name has many letters {i}" for i in range(200)]
    pictures.draw_image(image, torch.zeros(3, 4, 4), label, names)
    assert image.get_title() == "a class whose name …: 1.00"  # zeroes are not listed


def test_any_number_of_channels_but_three_stands_side_by_side_in_grey(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes: list[tuple[int, ...]] = []
    monkeypatch.setattr(pictures, "draw_image", lambda axes, image, *_: shapes.append(tuple(image.shape)))
    for channels in (1, 2, 3, 4):
        source = {"classes": "abc", "mean": [0.5] * channels, "std": [0.2] * channels}
        save_images(tmp_path / "a.png", waves(1, channels, 8, 6).float(), waves(1, 3).float(), source)
    assert shapes == [(1, 8, 6), (1, 8, 12), (3, 8, 6), (1, 8, 24)]


@pytest.mark.parametrize("name", ["$5 or $10", "$^$", "a $x_1$"])
def test_dollar_signs_in_the_name_of_a_class_begin_no_formula(tmp_path: Path, name: str) -> None:
    image, bars = Figure().subplots(2)
    pictures.draw_image(image, torch.zeros(3, 4, 4), torch.ones(1), [name])
    pictures.draw_sideways_label(bars, torch.ones(1), [name])
    for text, ending in ((image.title, ": 1.00"), (bars.get_yticklabels()[0], "")):
        assert text._preprocess_math(text.get_text()) == (name + ending, False)
    source = {"classes": [name, "b"], "mean": [0.0], "std": [1.0]}
    save_images(tmp_path / "a.png", waves(2, 1, 8, 8).float(), waves(2, 2).float(), source)
    pictures.save_sentences(tmp_path / "b.png", waves(2, 2).float(), [name, "b"], {"nearest": [["a"]] * 2})


@pytest.mark.parametrize("classes", [3, 20, 21, 1000])
def test_a_sentence_of_many_classes_has_bars_of_the_largest_values(classes: int) -> None:
    label, names = waves(classes).float(), [f"class {k}" for k in range(classes)]
    axes = Figure().subplots()
    pictures.draw_sideways_label(axes, label, names)
    order = range(classes) if classes <= 20 else label.abs().topk(10).indices.tolist()
    assert [t.get_text() for t in axes.get_yticklabels()] == [f"class {k}" for k in order]
    assert [bar.get_width() for bar in axes.patches] == [label[k].item() for k in order]


def test_the_picture_of_sentences_of_a_thousand_classes_fits_a_screen(tmp_path: Path) -> None:
    text = {"nearest": [["a", "b"]] * 40}
    names = [f"a class whose name has many letters {k}" for k in range(1000)]
    pictures.save_sentences(tmp_path / "a.png", waves(40, 1000).float(), names, text)
    height, width, _ = matplotlib.image.imread(tmp_path / "a.png").shape
    assert height < 300 * 30
    assert width < 1200


def test_labels_of_a_thousand_classes_are_listed_by_their_largest_values() -> None:
    words = [["a"]] * 40
    text = {"nearest": words, "neighbours": {name: [[["a"]]] * 40 for name in ("cosine", "euclidean")}}
    names, labels = [f"class {k}" for k in range(1000)], waves(40, 1000).float()
    lines = pictures.list_neighbours(labels, names, text)
    assert lines[0].count("class") == 20
    lines = pictures.list_sentences(labels, {"classes": names}, text)
    assert len(lines) == 31
    assert lines[-1] == "  … and 10 more: sentences.txt has all"


def read_ticks(log: list[dict[str, Any]], path: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """The labels at the heights of the loss and of the accuracy, and at the steps."""
    figures: list[Figure] = []

    def make_figure(width: float, height: float) -> Figure:
        figures.append(Figure(figsize=(width, height)))
        return figures[-1]

    monkeypatch.setattr(pictures, "make_figure", make_figure)
    save_curve(path, log)
    left, right = figures[0].axes
    return [[t.get_text() for t in axis.get_ticklabels()] for axis in (left.yaxis, right.yaxis, left.xaxis)]


def test_the_ticks_of_the_curve_are_plain_numbers_that_differ(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = [{"step": s, "loss": 2.3 - 0.0001 * s, "validation": 0.1 + 0.001 * s} for s in range(1, 101)]
    heights, shares, steps = read_ticks(log, tmp_path / "c.png", monkeypatch)
    assert heights == ["2.290", "2.295", "2.300"]
    assert shares == ["10 %", "15 %", "20 %"]
    assert steps == ["0", "50", "100"]
    decades, *_ = read_ticks(
        [{"step": s, "loss": 5 / s} for s in range(1, 1001)], tmp_path / "c.png", monkeypatch
    )
    assert decades == ["0.01", "0.1", "1"]


def test_the_curve_skips_steps_that_were_not_finite(tmp_path: Path) -> None:
    log = [{"step": 1, "loss": 2.0}, {"step": 2, "loss": None}, {"step": 3, "loss": 1.0, "validation": 0.5}]
    save_curve(tmp_path / "c.png", log)
    assert matplotlib.image.imread(tmp_path / "c.png")[..., :3].std() > 0.01


@pytest.mark.parametrize(
    "log", [[], [{"step": 1, "loss": None}], [{"step": 1, "loss": 0.0, "validation": 0.0}]]
)
def test_an_empty_curve_is_still_a_picture(tmp_path: Path, log: list[dict[str, Any]]) -> None:
    save_curve(tmp_path / "c.png", log)
    assert matplotlib.image.imread(tmp_path / "c.png").shape[:2] == (384, 960)
