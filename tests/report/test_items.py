"""Items, labels and words as the page draws them, and the outer steps at which it shows them."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from distill.report.items import draw_items, draw_pictures, list_words, measure_spread
from distill.report.page import render_page
from distill.report.snapshots import ReportedSet, describe_snapshot, flatten, list_snapshots
from distill.runs.files.history import read_history
from tests.helpers import waves
from tests.report.sets import (
    PROVENANCE,
    SOURCE,
    decode_png,
    image_set,
    load_run,
    make_report,
    text_set,
    write_run,
)

# Pictures, labels, words


@pytest.mark.parametrize(("channels", "shape"), [(1, (8, 8)), (3, (8, 8, 3)), (2, (8, 16)), (4, (8, 32))])
def test_a_picture_has_the_items_own_pixels(channels: int, shape: tuple[int, ...]) -> None:
    items = waves(2, channels, 8, 8).float()
    source = {"mean": [0.1] * channels, "std": [2.0] * channels}
    snapshots = list_snapshots(make_report(image_set(items=items, source=SOURCE | source, n=2)))
    ((_, uri),) = draw_pictures(snapshots, source)
    pixels = decode_png(uri)
    expected = items[1].movedim(0, -1) if channels == 3 else items[1].movedim(0, 1).flatten(1)
    assert pixels.shape == shape
    low, high = expected.min(), expected.max()
    stretched = ((expected - low) / (high - low)).squeeze(-1).numpy()
    np.testing.assert_allclose(pixels / 255, stretched, atol=0.003)


def test_whitened_images_are_shown_unwhitened() -> None:
    part, mean = waves(16, 16).float(), waves(16, phase=9).float()
    matrix = torch.eye(16) + 0.1 * (part + part.T)
    images = waves(2, 1, 4, 4, phase=5).float()
    items = ((images.flatten(1) - mean) @ matrix).view_as(images)
    moments = {"mean": [0.0], "std": [1.0]}
    whitened_set = image_set(
        n=2, items=items, source=SOURCE | moments | {"zca": {"mean": mean, "matrix": matrix}}
    )
    pixel_set = image_set(n=2, items=images, source=SOURCE | moments)
    (first, _), (second, _) = (
        draw_pictures(list_snapshots(make_report(data)), data.source)[0] for data in (whitened_set, pixel_set)
    )
    np.testing.assert_allclose(decode_png(first).astype(int), decode_png(second).astype(int), atol=1)


def test_images_whose_whitening_has_no_inverse_are_drawn_as_they_are() -> None:
    source = SOURCE | {
        "mean": [0.0],
        "std": [1.0],
        "zca": {"mean": torch.zeros(64), "matrix": torch.zeros(64, 64)},
    }
    data = image_set(source=source)
    ((first, *_),) = draw_pictures(list_snapshots(make_report(data)), data.source)
    plain = image_set(source=SOURCE | {"mean": [0.0], "std": [1.0]})
    assert draw_pictures(list_snapshots(make_report(plain)), plain.source)[0][0] == first


def test_items_that_are_not_images_are_drawn_as_rows_of_numbers() -> None:
    data = image_set(items=waves(3, 20).float())
    ((first, *_),) = draw_pictures(list_snapshots(make_report(data)), data.source)
    assert decode_png(first).shape == (1, 20)
    assert "blobs: 3 synthetic items" in render_page([make_report(data)])


def test_a_label_is_spread_over_as_many_classes_as_share_it_evenly() -> None:
    assert measure_spread([0.0, 3.0, 0.0]) == pytest.approx(1)
    assert measure_spread([1.0, -1.0, 1.0, 1.0, 0.0]) == pytest.approx(4)
    assert measure_spread([0.1, 0.7, -0.2]) == pytest.approx(measure_spread([1.0, 7.0, -2.0]))
    entropy = -sum(p * math.log(p) for p in (0.2, 0.3, 0.5))
    assert measure_spread([0.2, 0.3, 0.5]) == pytest.approx(math.exp(entropy))
    assert measure_spread([0.0, 0.0]) == 1


def test_a_words_share_is_its_vectors_length_by_the_longest() -> None:
    data = text_set()
    words = [list_words(list_snapshots(make_report(data))[0], i) for i in range(2)]
    lengths = data.items.norm(dim=2)
    assert max(word["share"] for item in words for word in item) == 1
    assert words[1][2]["share"] == pytest.approx(float(lengths[1, 2] / lengths.max()), abs=1e-3)
    assert words[1][2]["neighbours"] == ["w1-2 two three four five"] * 2


def test_the_script_has_the_name_of_every_class_that_it_shows() -> None:
    labels = -waves(3, 30).abs().float() - 1
    classes = [f"class {k}" for k in range(30)]
    script = draw_items(make_report(image_set(labels=labels, source=SOURCE | {"classes": classes})))["script"]
    (snapshot,) = script["snapshots"]
    assert {item["top"] for item in snapshot["items"]} <= set(script["names"])
    assert all("picture" not in item for item in snapshot["items"])


# Snapshots


def test_the_exported_items_stand_among_the_snapshots_at_their_step(tmp_path: Path) -> None:
    provenance = PROVENANCE | {"outer_steps": 30, "chosen_step": 12}
    folder = write_run(tmp_path / "run", image_set(provenance=provenance))
    snapshots = list_snapshots(load_run(folder))  # step 32 is of a run that was killed
    assert [(s.step, s.exported) for s in snapshots] == [(0, False), (8, False), (12, True), (16, False)]
    alone = list_snapshots(make_report(image_set(provenance=provenance)))
    assert [(s.step, s.exported) for s in alone] == [(12, True)]


def test_snapshots_of_other_items_are_left_out(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", image_set(n=3))
    assert len(list_snapshots(make_report(image_set(n=2), snapshots=read_history(folder)))) == 1


def test_a_caption_says_the_loss_and_the_accuracy_of_its_own_step(tmp_path: Path) -> None:
    run = load_run(write_run(tmp_path / "run", image_set()))
    first, *_, exported = list_snapshots(run)
    assert describe_snapshot(first, run.log) == "before the first outer step"
    caption = describe_snapshot(exported, run.log)
    assert caption == "exported set: outer step 40, outer loss 0.0681, held-out accuracy 90.0 %"
    assert caption in render_page([run])


@pytest.mark.parametrize(
    ("config", "planned"),
    [({"outer_steps": 9}, 9), ({"outer": {"outer_steps": 9}}, 9), ({"outer": {"steps": 9}}, 9)]
    + [(config, None) for config in ({}, {"outer_steps": 10**9}, {"outer_steps": "9"}, [1])],
)
def test_the_planned_outer_steps_are_those_of_the_settings(config: object, planned: int | None) -> None:
    assert make_report(image_set(provenance={"config": config})).steps_planned == planned


def test_groups_of_settings_are_flattened_once() -> None:
    assert flatten({"n": 1, "outer": {"lr": 2}, "odd": {"a": {}}}) == {
        "n": 1,
        "outer.lr": 2,
        "odd": {"a": {}},
    }


def test_a_set_alone_is_a_report() -> None:
    assert ReportedSet("x", image_set()).item_type == "images"
    assert ReportedSet("x", text_set()).item_type == "sentences"
