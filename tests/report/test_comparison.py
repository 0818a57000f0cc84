"""The comparison of a set with baselines: on the page, as a picture, out of a file that may hold anything."""

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from distill.report.comparison.differences import describe_comparison, list_differences, read_rows
from distill.report.comparison.picture import save_heat_map
from distill.report.page import render_page
from distill.report.snapshots import ReportedSet
from distill.runs.files.reported import load_reported_set
from distill.sets.provenance import digest_set
from tests.helpers import small_set


def make_row(protocol: str, network: str, items: str, kind: str, mean: Any) -> dict[str, Any]:
    return {"protocol": protocol, "network": network, "items": items, "kind": kind, "mean": mean, "n": 3}


ROWS = [
    make_row("recipe", "lenet", "distilled", "set", 0.91),
    make_row("recipe", "lenet", "means", "baseline", 0.75),
    make_row("recipe", "lenet", "random", "baseline", 0.5),
    make_row("dc", "lenet", "distilled", "set", 0.70),
    make_row("dc", "lenet", "means", "baseline", 0.702),
    make_row("dc", "mlp", "distilled", "set", 0.60),
    make_row("dc", "mlp", "means", "baseline", 0.769),
]


def test_a_cell_is_the_set_minus_the_strongest_baseline() -> None:
    cells = list_differences(ROWS)
    assert [(c.protocol, c.network, c.name) for c in cells] == [
        ("recipe", "lenet", "means"), ("dc", "lenet", "means"), ("dc", "mlp", "means"),
    ]  # fmt: skip
    assert [c.points for c in cells] == pytest.approx([16, -0.2, -16.9])
    assert [c.level for c in cells] == [3, 0, -3]
    assert cells[0].words == "91.0 against 75.0 (means)"


def test_the_page_has_the_heat_map_of_what_was_compared() -> None:
    reported = ReportedSet("a", small_set(), comparison={"rows": ROWS})
    section = describe_comparison(reported)
    assert section["protocols"] == ["recipe", "dc"]
    assert [(n, [c and round(c.points, 1) for c in cells]) for n, cells in section["rows"]] == [
        ("lenet", [16.0, -0.2]), ("mlp", [None, -16.9]),
    ]  # fmt: skip
    page = render_page([reported])
    assert '<td class="level3"><span class="figure">+16.0</span>' in page
    assert "above it in 1 of 3" in page
    assert "Beside the strongest baselines" not in render_page([ReportedSet("a", small_set())])


@pytest.mark.parametrize(
    "content",
    [
        None, {}, {"rows": None}, {"rows": [3, {}, {"kind": "set"}]}, {"rows": {"a": 1}},
        {"rows": [make_row("<b>", "x", "distilled", "set", mean) for mean in (None, "1", 2, float("nan"))]},
    ],
    ids=["none", "empty", "null", "half rows", "dict", "no shares"],
)  # fmt: skip
def test_what_is_no_comparison_is_left_out(content: Any) -> None:
    assert read_rows(content) == []
    assert describe_comparison(ReportedSet("a", small_set(), comparison=content)) == {}


def test_names_in_a_file_are_escaped() -> None:
    rows = [make_row("<i>", "<b>", "distilled", "set", 0.5), make_row("<i>", "<b>", "<u>", "baseline", 0.4)]
    page = render_page([ReportedSet("a", small_set(), comparison={"rows": rows})])
    assert "&lt;b&gt;" in page
    assert not any(tag in page for tag in ("<b>", "<i>", "<u>"))


@pytest.mark.parametrize(
    ("place", "found"), [("runs/a/set.pt", True), ("C:\\runs\\set.pt", True), ("other.pt", False), (3, False)]
)
def test_the_comparison_beside_a_set_is_read_if_it_is_of_this_set(
    tmp_path: Path, place: Any, found: bool
) -> None:
    small_set().save(tmp_path / "set.pt")
    (tmp_path / "compare.json").write_text(json.dumps({"set": place, "rows": ROWS}))
    for path in (tmp_path, tmp_path / "set.pt"):
        assert (load_reported_set(str(path), "a").comparison is not None) == found
    (tmp_path / "compare.json").write_text("[" * 10)
    assert load_reported_set(str(tmp_path), "a").comparison is None


def test_a_comparison_is_that_of_a_set_by_its_items_and_labels(tmp_path: Path) -> None:
    path, data = tmp_path / "a.pt", small_set()
    data.save(path)
    content = {"set": "elsewhere.pt", "digest": digest_set(data), "rows": ROWS}
    (tmp_path / "compare.json").write_text(json.dumps(content))
    assert load_reported_set(str(path), "a").comparison == content
    for other in (replace(data, items=data.items + 1), replace(data, labels=-data.labels)):
        other.save(path)
        (tmp_path / "compare.json").write_text(json.dumps({**content, "set": "a.pt"}))
        assert load_reported_set(str(path), "a").comparison is None


def test_a_comparison_without_a_digest_is_not_that_of_a_file_written_after_it(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    small_set().save(path)
    (tmp_path / "compare.json").write_text(json.dumps({"set": "a.pt", "rows": ROWS}))
    assert load_reported_set(str(path), "a").comparison is not None
    os.utime(tmp_path / "compare.json", (0, 0))
    assert load_reported_set(str(path), "a").comparison is None


def test_the_picture_is_a_png_of_the_cells_and_none_without_cells(tmp_path: Path) -> None:
    save_heat_map(tmp_path / "empty.png", ROWS[:1])
    assert not (tmp_path / "empty.png").exists()
    save_heat_map(tmp_path / "map.png", ROWS)
    data = (tmp_path / "map.png").read_bytes()
    width, height = (int.from_bytes(data[k : k + 4], "big") for k in (16, 20))
    assert data[:4] == b"\x89PNG"
    assert 600 < width < 900
    assert 250 < height < 500
