"""What a set cost, how it was made and how to use it."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from distill.report.figures import (
    LEARNED,
    describe_usage,
    format_duration,
    format_size,
    list_costs,
    list_recipe,
    measure_parts,
)
from tests.helpers import digit_set, small_set
from tests.report.sets import PROVENANCE, SOURCE, image_set, make_report, text_set


def test_the_cost_counts_bytes_of_both_sides() -> None:
    rows = dict(list_costs(make_report(image_set())))
    learned = 4 * (3 * 64 + 3 * 3 + 4) + 8 * 4 * 3  # items, labels, rates; the schedule of whole numbers
    assert rows["size of the set"] == f"{learned} bytes of items, labels, learning rates and schedule"
    assert rows["size of the real data"].startswith("64 kB (1,000 images of 64 numbers, one byte each): ")
    assert f"{64_000 / learned:,.0f} times" in rows["size of the real data"]
    assert rows["time of distilling"] == "1 min 15 s"
    assert rows["memory"] == "300 MiB at most"
    texts = dict(list_costs(make_report(text_set())))["size of the real data"]
    assert texts.startswith("80 kB (1,000 texts of 20 word numbers, 4 bytes each, without the word vectors)")


def test_own_floats_and_tables_have_four_bytes_each() -> None:
    own = SOURCE | {"mean": [0.0], "std": [1.0]}
    for data in (image_set(source=own), image_set(source=own, items=image_set().items.flatten(1))):
        size = dict(list_costs(make_report(data)))["size of the real data"]
        assert size.startswith("256 kB (1,000 i")
        assert "of 64 numbers, 4 bytes each)" in size


def test_attention_labels_count() -> None:
    data = text_set()
    with_attention = replace(
        data,
        attention=torch.full((2, 4), 0.25),
        inner={**data.inner, "attention_weight": 1.0},
        network={**data.network, "name": "transformer"},
    )
    assert measure_parts(with_attention)[LEARNED] == measure_parts(data)[LEARNED] + 4 * 8


def test_outer_steps_say_how_many_were_planned_and_which_was_exported() -> None:
    provenance = PROVENANCE | {"config": {"outer_steps": 8000}, "chosen_step": 12, "skipped": 3}
    rows = dict(list_costs(make_report(image_set(provenance=provenance))))
    assert rows["outer steps"] == "40 of 8,000 planned; the set is that of step 12; 3 skipped"


def test_sizes_and_times_are_in_units_that_people_read() -> None:
    sizes = [format_size(b) for b in (12, 1500, 37_000, 43_120_000)]
    assert sizes == ["12 bytes", "1.5 kB", "37 kB", "43 MB"]
    assert [format_duration(s) for s in (0.5, 75, 7300)] == ["0.5 s", "1 min 15 s", "2 h 1 min"]


def test_the_recipe_says_where_the_initial_weights_come_from() -> None:
    rows = dict(list_recipe(make_report(digit_set())))
    assert rows["initial weights"] == "fixed: they are in the file (xavier)"
    assert rows["steps"] == "4 training steps, each on all 5 images"
    random = dict(list_recipe(make_report(small_set())))
    assert random["initial weights"] == "random: new ones for each network (xavier)"


def test_the_python_of_the_page_trains_a_network(tmp_path) -> None:
    path = str(tmp_path / "it's one.pt")
    image_set().save(path)
    usage = describe_usage(make_report(image_set(), path=path))
    lines = usage["python"].splitlines()
    assert lines[-2:] == [
        "# x: real images (batch, 1, 8, 8), (pixels / 255 - 0.3) / 0.2",
        "classes = student(x).argmax(dim=1)",
    ]
    names: dict = {}
    exec("\n".join(lines[:-1]), names)
    assert len(names["data"]) == 3
    assert type(names["student"]).__name__ == "Student"


@pytest.mark.parametrize(
    ("path", "command", "load"),
    [
        ("model.bin", "distill student model.bin", "distill.DistilledSet.load('model.bin')"),
        ("set.pt", "distill student set.pt", "distill.DistilledSet.load('set.pt')"),
        ("a b.pt", "distill student 'a b.pt'", "distill.DistilledSet.load('a b.pt')"),
        ("folder", "distill student folder", "distill.from_folder('folder')"),
        ("x;rm -r.pt", "distill student 'x;rm -r.pt'", "distill.DistilledSet.load('x;rm -r.pt')"),
    ],
)
def test_the_commands_quote_the_path(
    path: str, command: str, load: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folder").mkdir()
    monkeypatch.chdir(tmp_path)
    usage = describe_usage(make_report(image_set(), path=path))
    assert usage["command"] == command
    assert f"data = {load}" in usage["python"]


def test_the_input_of_a_student_is_described_for_images_and_sentences() -> None:
    assert (
        "# x: word vectors of real sentences (batch, words, 8)"
        in describe_usage(make_report(text_set()))["python"]
    )
    colours = image_set(source=SOURCE | {"mean": None, "std": None})
    assert "normalised as data.source says" in describe_usage(make_report(colours))["python"]
