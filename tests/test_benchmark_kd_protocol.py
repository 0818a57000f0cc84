"""The protocol refuses rows that compare two things at once, and settings that nobody chose."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.kd import choices, choose, load_recipe
from benchmarks.kd.choices import Choice, apply_settings, check_choices
from benchmarks.kd.choose import expand_recipe, score_grid
from benchmarks.kd.protocol import (
    DIFFERENCES,
    PUBLISHED,
    ProtocolError,
    check_items,
    check_twins,
    list_lineage,
)
from benchmarks.kd.rows import ROWS, Row
from distill.kd.recipe.parts import Recipe
from tests.helpers import write_npz
from tests.recipes import CE, NET, build_raw_recipe, hinton, kd, parse_recipe

NETWORKS = dict.fromkeys(("teacher", "assistant", "plain", "kd"), NET)
ROW = Row("distillation", "some", "kd", "plain")


def build_recipe(
    folder: Path, teacher_items: int | None, student_items: int | None, **data: object
) -> Recipe:
    stages = [
        {"turns": {"teacher": [CE]}, "train": teacher_items},
        {"turns": {"assistant": kd("teacher")}, "train": student_items},
        {"turns": {"plain": [CE], "kd": kd("assistant")}, "train": student_items},
    ]
    return parse_recipe(build_raw_recipe(folder, NETWORKS, stages, **data))


def test_a_teacher_of_a_teacher_with_more_items_is_refused(tmp_path: Path) -> None:
    recipe = build_recipe(tmp_path, None, 50)
    with pytest.raises(ProtocolError) as error:
        check_items(ROW, recipe)
    assert str(error.value) == (
        'some: networks of "distillation" learn from different items (kd: 50 of the data, plain: 50 of the'
        " data, assistant: 50 of the data, teacher: all of the data): give all the same, or begin the name of"
        ' the row with "privileged teacher"'
    )


def test_a_privileged_teacher_is_named_and_only_then(tmp_path: Path) -> None:
    privileged = replace(ROW, name="privileged teacher: distillation")
    assert check_items(privileged, build_recipe(tmp_path, None, 50)) is None
    assert check_items(ROW, build_recipe(tmp_path, 50, 50)) is None
    with pytest.raises(
        ProtocolError, match='no teacher of "privileged teacher: distillation" has other items'
    ):
        check_items(privileged, build_recipe(tmp_path, 50, 50))


def test_the_items_of_the_data_bound_those_of_a_stage(tmp_path: Path) -> None:
    assert check_items(ROW, build_recipe(tmp_path, None, 50, train=50)) is None


def test_lineages_follow_teachers_anchors_and_ensembles(tmp_path: Path) -> None:
    networks = {**NETWORKS, "mean": {"mean_of": ["plain", "assistant"]}}
    stages = [
        {"turns": {"teacher": [CE]}, "keep": 2},
        {"turns": {"assistant": kd("teacher@1"), "plain": [CE]}},
        {"turns": {"kd": kd("mean")}},
    ]
    recipe = parse_recipe(build_raw_recipe(tmp_path, networks, stages))
    assert list_lineage(recipe, ["kd"]) == ["kd", "mean", "plain", "assistant", "teacher"]
    assert list_lineage(recipe, ["plain"]) == ["plain"]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_every_row_of_the_table_follows_the_protocol(row: Row) -> None:
    recipe = load_recipe(row.recipe)
    assert check_items(row, recipe) is None
    assert check_twins(row, recipe) is None
    assert {row.student, row.over} <= set(recipe.networks)


CHOICE = Choice("some", ("kd",), {"tau": (1.0, 4.0), "weight": (0.5, 0.9)})


def test_settings_keep_the_labels_share_where_the_weights_are_shares(tmp_path: Path) -> None:
    recipe = build_recipe(tmp_path, 50, 50)
    losses = apply_settings(recipe.stages[2].turns["kd"].losses, CHOICE, {"tau": 2.0, "weight": 0.7})
    assert [(p.loss, p.weight, p.tau) for p in losses] == [("cross-entropy", 0.3, 1.0), ("hinton", 0.7, 2.0)]
    sums = [replace(p, weight=1.0) for p in losses]
    losses = apply_settings(sums, CHOICE, {"tau": 2.0, "weight": 0.5})
    assert [p.weight for p in losses] == [1.0, 0.5]
    losses = apply_settings(recipe.stages[2].turns["kd"].losses, CHOICE, {"tau": 2.0, "weight": 1.0})
    assert [p.weight for p in losses] == [0.0, 1.0]
    losses = apply_settings(losses, CHOICE, {"tau": 2.0, "weight": 0.25})
    assert [p.weight for p in losses] == [0.75, 0.25]
    hints = Choice("some", ("kd",), {"weight": (0.1, 10.0)}, ("hint",))
    without_hint = recipe.stages[2].turns["kd"].losses
    assert apply_settings(without_hint, hints, {"weight": 10.0}) == without_hint


def test_a_grid_has_a_copy_per_point_and_one_teacher(tmp_path: Path) -> None:
    expanded = expand_recipe(build_recipe(tmp_path, 50, 50), CHOICE)
    assert list(expanded.networks) == ["assistant", "teacher", "kd 0", "kd 1", "kd 2", "kd 3"]
    losses = [expanded.stages[2].turns[f"kd {k}"].losses[1] for k in range(4)]
    assert [(p.tau, p.weight) for p in losses] == [(1, 0.5), (1, 0.9), (4, 0.5), (4, 0.9)]
    assert [list(stage.turns) for stage in expanded.stages[:2]] == [["teacher"], ["assistant"]]


def test_partners_are_copied_together(tmp_path: Path) -> None:
    stages = [{"turns": {"plain": [CE, hinton("kd")], "kd": [hinton("plain")]}}]
    recipe = parse_recipe(build_raw_recipe(tmp_path, NETWORKS, stages))
    choice = Choice("some", ("plain",), {"weight": (0.1, 0.3)}, scored="kd")
    turns = expand_recipe(recipe, choice).stages[0].turns
    assert list(turns) == ["plain 0", "kd 0", "plain 1", "kd 1"]
    assert [turns[f"plain {k}"].losses[1].teacher for k in (0, 1)] == ["kd 0", "kd 1"]
    assert [turns[f"plain {k}"].losses[1].weight for k in (0, 1)] == [0.1, 0.3]
    assert [turns[f"kd {k}"].losses[0].weight for k in (0, 1)] == [0.9, 0.9]


def test_a_teacher_s_setting_is_chosen_by_its_student(tmp_path: Path) -> None:
    recipe = build_recipe(tmp_path, 50, 50)
    choice = Choice("some", ("assistant",), {"tau": (1.0, 2.0)}, scored="kd")
    expanded = expand_recipe(recipe, choice)
    assert list(expanded.networks) == ["teacher", "assistant 0", "kd 0", "assistant 1", "kd 1"]
    assert [expanded.stages[1].turns[f"assistant {k}"].losses[1].tau for k in (0, 1)] == [1.0, 2.0]
    assert [expanded.stages[2].turns[f"kd {k}"].losses[1].teacher for k in (0, 1)] == [
        "assistant 0",
        "assistant 1",
    ]


def test_the_rate_of_an_optimiser_can_be_chosen(tmp_path: Path) -> None:
    sgd = {"name": "SGD", "momentum": 0.9, "lr": 0.1}
    stages = [{"turns": {"plain": {"losses": [CE], "optimizer": sgd}, "kd": [CE]}}]
    recipe = parse_recipe(build_raw_recipe(tmp_path, NETWORKS, stages))
    choice = Choice("some", ("plain",), {"lr": (0.01, 0.03)}, choices.OPTIMIZER)
    turns = expand_recipe(recipe, choice).stages[0].turns
    arguments = [turn.optimizer.arguments for turn in turns.values() if turn.optimizer]
    assert arguments == [{"momentum": 0.9, "lr": lr} for lr in (0.01, 0.03)]
    assert list(choices.list_values(recipe, "plain", choice, "lr")) == [0.1]


def test_what_is_not_chosen_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choices, "CHOICES", [CHOICE])
    recipe = build_recipe(tmp_path, 50, 50)
    with pytest.raises(
        ProtocolError, match="some: choose its settings first: python -m benchmarks.kd --choose some"
    ):
        check_choices("some", recipe, {})
    record = {"some/kd/hinton": {"chosen": {"tau": 2.0, "weight": 0.9}, "grid": CHOICE.grid()}}
    with pytest.raises(ProtocolError, match="some: tau of kd is 4, and 2 was chosen"):
        check_choices("some", recipe, record)
    record = {"some/kd/hinton": {"chosen": {"tau": 4.0, "weight": 0.9}, "grid": CHOICE.grid()}}
    assert check_choices("some", recipe, record) is None
    record["some/kd/hinton"]["grid"] = CHOICE.grid()[:-1]
    with pytest.raises(
        ProtocolError, match="some: the grid of some/kd/hinton is not the one that was scored"
    ):
        check_choices("some", recipe, record)


def test_choosing_reads_held_out_items_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With test labels that are all wrong, the scores of the grid are those of the held-out items."""
    monkeypatch.setattr("benchmarks.machine.RESULTS", tmp_path)
    monkeypatch.setattr("benchmarks.kd.RECIPES", tmp_path)
    monkeypatch.setattr(choose, "CHOICES", [CHOICE])
    recipe = build_recipe(tmp_path, None, None)
    held_out = replace(recipe, data=replace(recipe.data, score="held-out"))
    scores = score_grid(held_out, CHOICE, 0)
    write_npz(tmp_path / "blobs.npz", y_test=[0] * 60)
    assert score_grid(held_out, CHOICE, 0) == scores
    assert len(scores) == 4


def test_the_best_of_the_grid_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import yaml

    monkeypatch.setattr("benchmarks.machine.RESULTS", tmp_path)
    monkeypatch.setattr("benchmarks.kd.RECIPES", tmp_path)
    monkeypatch.setattr(choose, "CHOICES", [CHOICE])
    monkeypatch.setattr(choose, "score_grid", lambda *_: [0.5, 0.7, 0.6, 0.4])
    raw = build_raw_recipe(tmp_path, NETWORKS, [{"turns": {"plain": [CE], "kd": kd("plain")}}])
    (tmp_path / "some.yaml").write_text(yaml.safe_dump(raw))
    choose.choose_settings("some", [], (0, 1))
    record = choices.load_record()["some/kd/hinton"]
    assert record["chosen"] == {"tau": 1.0, "weight": 0.9}
    assert record["grid"][1] == {"tau": 1.0, "weight": 0.9, "scores": [0.7, 0.7]}


def test_every_chosen_setting_is_in_its_recipe() -> None:
    """The record of the repository, and the recipes of which it speaks."""
    record = choices.load_record()
    for name in {row.recipe for row in ROWS} | {choice.recipe for choice in choices.CHOICES}:
        assert check_choices(name, load_recipe(name), record) is None
        assert choices.check_students(name, record) is None


SETTINGS = [(c, key) for c in choices.CHOICES for key in c.values]


@pytest.mark.parametrize(("choice", "key"), SETTINGS, ids=[f"{c.key} {key}" for c, key in SETTINGS])
def test_another_value_than_the_chosen_one_is_refused(choice: Choice, key: str) -> None:
    """For every grid of every recipe, those with students that were chosen among some too."""
    record = choices.load_record()
    chosen = record[choice.key]["chosen"] | {key: -1.0}
    changed = record | {choice.key: record[choice.key] | {"chosen": chosen}}
    with pytest.raises(ProtocolError, match=rf"{choice.recipe}: {key} of .* is .*, and -1 was chosen"):
        check_choices(choice.recipe, load_recipe(choice.recipe), changed)


CHOSEN_ROWS = [row for row in ROWS if row.among]


@pytest.mark.parametrize("row", CHOSEN_ROWS, ids=lambda row: row.key)
def test_another_student_than_the_chosen_one_is_refused(row: Row) -> None:
    other = next(name for name in row.among if name != row.student)
    record = choices.load_record() | {row.key: {"chosen": {"network": other}}}
    with pytest.raises(ProtocolError, match=f"is {row.student}, and {other} was chosen"):
        choices.check_students(row.recipe, record)


def test_a_recipe_without_a_grid_needs_a_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choices, "CHOICES", [])
    recipe = build_recipe(tmp_path, 50, 50)
    with pytest.raises(ProtocolError) as error:
        check_choices("some", recipe, {})
    assert str(error.value) == (
        "some: it has no grid of settings to choose: add one to CHOICES, or say in PUBLISHED whose settings"
        " it has"
    )
    monkeypatch.setitem(PUBLISHED, "some", "of the paper")
    assert check_choices("some", recipe, {}) is None


def test_the_tables_of_exceptions_speak_of_what_is_there() -> None:
    assert set(DIFFERENCES) <= {(row.recipe, row.student, row.over) for row in ROWS}
    assert set(PUBLISHED) <= {row.recipe for row in ROWS}
