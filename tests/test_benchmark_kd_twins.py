"""The protocol refuses rows whose networks are no twins, and teachers that began as their student's copy."""

from pathlib import Path

import pytest

from benchmarks.kd import RECIPES, load_recipe
from benchmarks.kd.protocol import (
    DIFFERENCES,
    ProtocolError,
    check_assistants,
    check_twins,
    list_differences,
)
from benchmarks.kd.rows import Row
from distill.kd.recipe.parts import Recipe
from tests.recipes import CE, NET, build_raw_recipe, kd, parse_recipe

ROW = Row("distillation", "some", "kd", "plain")
TWIN = {**NET, "width": 4}


def build_twins(folder: Path, networks: dict[str, object], epochs: tuple[int, int] = (1, 1)) -> Recipe:
    """A teacher, then kd and plain in stages of their own."""
    networks = {"teacher": {**NET, "seed": 1}, **networks}
    stages = [
        {"turns": {"teacher": [CE]}},
        {"turns": {"kd": kd("teacher")}, "epochs": epochs[0]},
        {"turns": {"plain": [CE]}, "epochs": epochs[1]},
    ]
    return parse_recipe(build_raw_recipe(folder, networks, stages))


@pytest.mark.parametrize(
    ("kd_part", "plain_part", "epochs", "words"),
    [
        ({"seed": 2}, {}, (1, 1), "seed: 2 and 0"),
        ({}, {"width": 8}, (1, 1), "width: 4 and 8"),
        ({}, {}, (2, 1), "epochs: 2 and 1"),
        ({"subclasses": 2}, {}, (1, 1), "subclasses: 2 and 1"),
    ],
)
def test_networks_of_a_row_that_are_no_twins_are_refused(
    kd_part: dict[str, object],
    plain_part: dict[str, object],
    epochs: tuple[int, int],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = build_twins(tmp_path, {"kd": TWIN | kd_part, "plain": TWIN | plain_part}, epochs)
    with pytest.raises(ProtocolError) as error:
        check_twins(ROW, recipe)
    assert str(error.value) == (
        f'some: kd and plain of "distillation" are no twins ({words}): give both the same, or say in'
        " DIFFERENCES that the row compares it"
    )
    monkeypatch.setitem(DIFFERENCES, ("some", "kd", "plain"), (words.partition(":")[0],))
    assert check_twins(ROW, recipe) is None


def test_a_difference_that_is_none_is_not_in_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = build_twins(tmp_path, {"kd": TWIN, "plain": TWIN})
    assert check_twins(ROW, recipe) is None
    monkeypatch.setitem(DIFFERENCES, ("some", "kd", "plain"), ("epochs",))
    with pytest.raises(ProtocolError, match="do not differ in epochs: take it out of DIFFERENCES"):
        check_twins(ROW, recipe)


def test_ensembles_are_compared_part_by_part(tmp_path: Path) -> None:
    names = ("kd1", "kd2", "plain1", "plain2", "plain3")
    networks: dict[str, object] = {name: {**TWIN, "seed": int(name[-1])} for name in names}
    networks |= {"kd": {"mean_of": ["kd1", "kd2"]}, "plain": {"mean_of": ["plain1", "plain2"]}}
    stages = [{"turns": {name: [CE] for name in names}}]
    twins = parse_recipe(build_raw_recipe(tmp_path, networks, stages))
    assert list_differences(twins, "kd", "plain") == {}
    networks["plain"] = {"mean_of": ["plain1", "plain3"]}
    others = parse_recipe(build_raw_recipe(tmp_path, networks, stages))
    assert list_differences(others, "kd", "plain") == {"seed": "2 and 3"}
    assert list_differences(others, "kd", "plain1") == {"number of networks": "2 and 1"}


@pytest.mark.parametrize("through", [False, True])
def test_an_assistant_that_began_as_the_student_s_copy_is_refused(through: bool, tmp_path: Path) -> None:
    """As the assistant that had the student's own architecture and its initial weights; in a chain too."""
    networks = {"teacher": {**TWIN, "seed": 1}, "assistant": TWIN, "kd": TWIN}
    networks["between"] = {**TWIN, "width": 8}
    teacher = "between" if through else "assistant"
    stages = [
        {"turns": {"teacher": [CE]}},
        {"turns": {"assistant": kd("teacher")}},
        {"turns": {"between": kd("assistant")}},
        {"turns": {"kd": kd(teacher)}},
    ]
    with pytest.raises(ProtocolError) as error:
        check_assistants("some", parse_recipe(build_raw_recipe(tmp_path, networks, stages)))
    assert str(error.value) == (
        "some: kd learns from assistant, which has its architecture and its initial weights: give assistant"
        " another seed or another size"
    )
    networks["assistant"] = {**TWIN, "seed": 2}
    assert check_assistants("some", parse_recipe(build_raw_recipe(tmp_path, networks, stages))) is None


@pytest.mark.parametrize("name", sorted(path.stem for path in RECIPES.glob("*.yaml")))
def test_no_assistant_of_a_recipe_began_as_its_student_s_copy(name: str) -> None:
    assert check_assistants(name, load_recipe(name)) is None
