"""Scores in rows: of the terminal and of the page."""

import statistics

import pytest

from distill.report.page import render_page
from distill.report.tables import compute_wilson, format_table, list_comparison, list_scores, list_tiles
from distill.student.scores import Report
from tests.report.sets import SCORES, image_set, make_report, visible_text


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
    text = format_table([Report("a", (0.5,)), Report("longer", (0.25,))], "title")
    assert text == "title\n  a       50.00 %\n  longer  25.00 %"


def test_scores_say_their_spread_initial_weights_and_protocol() -> None:
    rows = {row["key"]: row for row in list_scores(make_report(image_set()))}
    assert rows["set"]["words"] == "90.00 %"
    assert rows["set"]["spread"] == "one network; 95 % interval 82.56 to 94.48 % on 100 items"
    assert (rows["set"]["initial"], rows["set"]["protocol"]) == (
        "fixed initial weights",
        "the set's own recipe",
    )
    assert rows["random-real"]["words"] == "30.00 ± 5.00 %"
    assert rows["random-real"]["spread"] == "mean ± standard deviation, n = 20"
    assert rows["random-real"]["initial"] == "fixed initial weights, 20 draws"
    assert rows["random-real"]["protocol"] == "the set's own recipe, learning rate 0.1"
    assert rows["random-real"]["low"] == pytest.approx(0.25)
    assert rows["all"]["name"] == "all 1,000 real images"
    assert rows["all"]["protocol"] == "ordinary training with Adam"


def test_random_initial_weights_are_counted_and_a_held_out_score_is_called_so() -> None:
    accuracy = {"mean": 0.9, "std": 0.01, "n": 20, "split": "held-out", "weights": "held-out"}
    reported = make_report(image_set(scores={"accuracy": accuracy}))
    (row,) = list_scores(reported)
    assert row["initial"] == "random initial weights, 20 networks"
    assert "may be lower" in render_page([reported])
    assert list_tiles(reported)[0] == ("90.00 ± 1.00 %", "held-out accuracy after training on this set")


def test_each_row_says_its_own_split_where_they_differ() -> None:
    one = {"mean": 0.9, "std": 0.0, "n": 1}
    dc = {**one, "split": "test", "baselines": {"k-means": one}}
    scores = {
        "accuracy": {**one, "split": "held-out"},
        "baselines": {"k-means": one},
        "protocols": {"dc": dc},
    }
    reported = make_report(image_set(scores=scores))
    rows = {row["key"]: row for row in list_scores(reported)}
    assert {key: row["split"] for key, row in rows.items()} == {
        "set": "held-out", "k-means": "held-out", "dc:set": "test", "dc:k-means": "test",
    }  # fmt: skip
    assert [row["spread"].endswith("on 100 items") for row in rows.values()] == [False, False, True, True]
    page = visible_text(render_page([reported]))
    assert "networks trained on accuracy" in page
    assert "network mlp; on test items" in page
    assert "the set's own recipe; on held-out items" in page.replace("&#39;", "'")
    assert "share of real items that" in page
    assert "The held-out items also chose this set" in page
    assert ("90.00 %", "test accuracy by the standard protocol dc") in list_tiles(reported)
    assert list_tiles(reported)[0] == ("90.00 %", "held-out accuracy after training on this set")


def test_the_tiles_and_the_comparison_show_the_strongest_baseline() -> None:
    baselines = {**SCORES["baselines"], "k-means": {"mean": 0.64, "std": 0.02, "n": 20}}
    reported = make_report(image_set(scores=SCORES | {"baselines": baselines}))
    assert ("64.00 %", "strongest baseline: k-means centres") in list_tiles(reported)
    assert ("91.8 %", "of the accuracy with all real data") in list_tiles(reported)
    assert ("3", "synthetic images in place of 1,000 real ones") in list_tiles(reported)
    row = list_comparison(reported)
    assert row["baseline"]["name"] == "3 k-means centres"
    assert row["initial"] == "fixed initial weights"


def test_rows_tiles_and_comparison_by_a_standard_protocol() -> None:
    score = {"mean": 0.7, "std": 0.02, "n": 5}
    baselines = {"k-means": {**score, "mean": 0.79}, "random-real": {**score, "mean": 0.57}}
    dc = {**score, "network": "mlp", "baselines": baselines, "strongest": "k-means"}
    reported = make_report(image_set(scores=SCORES | {"protocols": {"dc": dc}}))
    rows = {row["key"]: row for row in list_scores(reported)}
    assert list(rows) == ["set", "random-real", "dc:set", "dc:k-means", "dc:random-real", "all"]
    assert rows["dc:set"]["initial"] == "random initial weights, 5 networks"
    assert rows["dc:set"]["protocol"] == "standard protocol dc, network mlp"
    assert rows["dc:k-means"]["words"] == "79.00 ± 2.00 %"
    assert ("70.00 ± 2.00 %", "test accuracy by the standard protocol dc") in list_tiles(reported)
    assert ("79.00 %", "strongest baseline by dc: k-means centres") in list_tiles(reported)
    row = list_comparison(reported)
    assert row["baseline"]["key"] == "random-real"
    ((word, own, strongest),) = row["standard"]
    assert (word, own["words"], strongest["words"]) == ("dc", "70.00 ± 2.00 %", "79.00 ± 2.00 %")
    page = visible_text(render_page([reported, make_report(image_set())]))
    assert "strongest baseline: 3 k-means centres, 79.00 ± 2.00 %" in page
    assert page.count("This set was not measured by a standard protocol.") == 1


def test_a_set_without_full_data_has_no_row_of_it() -> None:
    reported = make_report(image_set(scores=SCORES | {"full_data": None}))
    assert "all" not in {row["key"] for row in list_scores(reported)}
    assert "all real data" not in " ".join(words for _, words in list_tiles(reported))
    assert "98.00" not in render_page([reported, reported])


def test_wilsons_interval_is_the_published_one() -> None:
    assert compute_wilson(0.5, 100) == pytest.approx((0.4038, 0.5962), abs=1e-4)
    assert compute_wilson(1.0, 10) == pytest.approx((0.7225, 1.0), abs=1e-4)
    assert compute_wilson(0.0, 10) == pytest.approx((0.0, 0.2775), abs=1e-4)
