"""Recipes: YAML to dataclasses and back; what cannot be followed is refused with its key."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from distill.kd.losses.objective import WeightedLoss
from distill.kd.recipe.files import format_recipe, parse_value, read_recipe
from distill.kd.recipe.parts import LossPart, OptimizerPart, RecipeError
from distill.student.loop import Batch
from tests.helpers import run_module
from tests.recipes import CE, NET, build_raw_recipe, hinton, kd, parse_recipe, write_recipe


@pytest.fixture
def raw_recipe(tmp_path: Path) -> dict[str, Any]:
    networks = {"teacher": {"name": "mlp", "width": 16}, "student": NET}
    return build_raw_recipe(
        tmp_path, networks, [{"turns": {"teacher": [CE]}}, {"turns": {"student": kd("teacher")}}]
    )


def test_a_recipe_that_is_written_reads_back_equal(raw_recipe: dict[str, Any], tmp_path: Path) -> None:
    recipe = parse_recipe(raw_recipe)
    second_path = tmp_path / "again.yaml"
    second_path.write_text(format_recipe(recipe), encoding="utf-8")
    assert read_recipe(second_path) == recipe
    assert recipe.stages[1].turns["student"].losses[1].tau == 4.0
    assert recipe.stages[0].optimizer == OptimizerPart("Adam")


def test_set_changes_one_key_and_adds_missing_ones(raw_recipe: dict[str, Any], tmp_path: Path) -> None:
    path = write_recipe(tmp_path, raw_recipe)
    changes = ["stages.1.turns.student.1.tau=2", "data.train=10", "networks.more.name=lenet", "seed=3"]
    recipe = read_recipe(path, changes)
    assert recipe.stages[1].turns["student"].losses[1].tau == 2.0
    assert (recipe.data.train, recipe.networks["more"].name, recipe.seed) == (10, "lenet", 3)
    assert read_recipe(path).seed == 0


BAD: list[tuple[str, Any, str]] = [
    ("data.nmae", "x", 'data: no key called "nmae"; did you mean "name"?'),
    ("stages.0.epoch", 3, 'stages.0: no key called "epoch"; did you mean "epochs"?'),
    ("stages.0.epochs", "many", "stages.0.epochs must be a whole number, not 'many'"),
    ("stages.0.lr", True, "stages.0.lr must be a finite number, not True"),
    ("stages.0.turns", [1], "stages.0.turns must be keys and values"),
    ("networks.student.name", 5, "networks.student.name must be a word, not 5 (put it in quotes)"),
    ("stages.1.turns.student", 3, "stages.1.turns.student must be a list"),
    ("stages.1.turns.student", CE, 'stages.1.turns.student: no key called "loss"; did you mean "losses"?'),
    ("stages", None, "stages must be a list, not None"),
]


@pytest.mark.parametrize(("key", "value", "message"), BAD, ids=[b[0] for b in BAD])
def test_a_wrong_key_or_type_is_named(
    raw_recipe: dict[str, Any], tmp_path: Path, key: str, value: Any, message: str
) -> None:
    path = write_recipe(tmp_path, raw_recipe)
    with pytest.raises(RecipeError) as error:
        read_recipe(
            path, [f"{key}={yaml.safe_dump(value, default_flow_style=True).removesuffix('...' + chr(10))}"]
        )
    assert message in str(error.value)
    assert str(path) in str(error.value)


def test_files_that_are_no_recipes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"gone\.yaml cannot be read \(No such file"):
        read_recipe(tmp_path / "gone.yaml")
    path = tmp_path / "bad.yaml"
    for content, message in (
        ("a: [1", "bad.yaml, line 1: not YAML"),
        ("- 1", "the recipe must be keys and values"),
        ("networks: {}", "stages is missing"),
        ("a: !!python/object/apply:os.system ['true']", "not YAML"),
    ):
        path.write_text(content, encoding="utf-8")
        with pytest.raises(RecipeError, match=message):
            read_recipe(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match="not YAML"):
        read_recipe(path)


def test_set_with_a_key_that_does_not_exist_is_refused(raw_recipe: dict[str, Any], tmp_path: Path) -> None:
    path = write_recipe(tmp_path, raw_recipe)
    for change, message in (
        ("seed", "expected KEY=VALUE"),
        ("stages.9.epochs=3", "leads to nothing"),
        ("stages.first.epochs=3", "leads to nothing"),
        ("data.name.more.still=1", "leads to nothing"),
        ("seed=[", "the value is not YAML"),
    ):
        with pytest.raises(RecipeError, match=message):
            read_recipe(path, [change])


STUDENT = "stages.1.turns.student.1"
REFUSED: list[tuple[str, str]] = [
    (f"{STUDENT}.tau=0", f"{STUDENT}.tau, the temperature, must be above 0, not 0"),
    (f"{STUDENT}.tau=-1", "must be above 0, not -1"),
    (f"{STUDENT}.tau=.nan", "must be a finite number, not nan"),
    (f"{STUDENT}.weight=-1.5", f"{STUDENT}.weight must be at least 0, not -1.5"),
    (f"{STUDENT}.until=-0.5", f"{STUDENT}.until must be at least 0, not -0.5"),
    (f"{STUDENT}.teacher=techer", f'{STUDENT}.teacher: no network called "techer"; did you mean "teacher"?'),
    (f"{STUDENT}.teacher=null", "the loss hinton needs a teacher"),
    ("stages.0.turns.teacher.0.teacher=student", "the loss cross-entropy takes no teacher"),
    (f"{STUDENT}.loss=hintn", f'{STUDENT}.loss: no loss called "hintn"; did you mean "hinton"?'),
    (f"{STUDENT}.tap='0.77'", f'{STUDENT}.tap: in student: no module called "0.77"; did you mean "0.7"?'),
    (f"{STUDENT}.loss=attention", f"{STUDENT}.tap is missing"),
    (f"{STUDENT}.domain=target", "target where data.target names a set"),
    (f"{STUDENT}.layers=['1']", f"{STUDENT}.layers: the teacher's modules for the loss aggregate"),
    ("stages.0.turns.techer=[]", 'stages.0.turns: no network called "techer"'),
    ("stages.0.turns={}", "stages.0.turns: nobody learns"),
    ("stages.0.epochs=0", "stages.0.epochs must be above 0, not 0"),
    ("stages.0.prune=1", "stages.0.prune must be at least 0 and below 1"),
    ("stages.0.optimizer=Adamm", 'no optimiser called "Adamm"; did you mean "Adam"?'),
    ("stages.0.augment=shift-spin", 'stages.0.augment: no augmentation called "spin"'),
    ("stages.0.items=set", "stages.0.items must be real, or set where data.set names one"),
    ("stages.1.route=teacher", 'stages.1.route: nothing is kept of "teacher": give its stage keep: 4'),
    ("stages.0.search=true", "stages.0.search: needs one learner with aggregate losses"),
    ("networks.student.name=convnett", 'networks.student: no network called "convnett"'),
    ("networks.student.name=torchvision/resnet1", 'no model in torchvision called "resnet1"'),
    ("networks.mlp={name: mlp, width: 4, separable: true}", 'the network "mlp" has no separable'),
    ("networks.both={mean_of: [teacher, studnt]}", 'networks.both.mean_of: no network called "studnt"'),
    ("networks.student.mean_of=[teacher]", "stages.1.turns: student is an ensemble and never learns itself"),
    ("networks.student.subclasses=0", "networks.student.subclasses must be above 0, not 0"),
    ("networks.student.width=-2", "networks.student.width must be above 0, not -2"),
    ("data.train=0", "data.train must be above 0, not 0"),
    ("stages.1.train=-3", "stages.1.train must be above 0, not -3"),
    ("stages.0.keep=-1", "stages.0.keep must be at least 0, not -1"),
    ("stages.0.mixup=-0.5", "stages.0.mixup must be at least 0, not -0.5"),
    ("networks.teacher.checkpoint=gone.pt", "networks.teacher.checkpoint: gone.pt cannot be read"),
    ("data.name=mnits", 'no data set called "mnits"'),
    ("data.score=tset", 'data.score must be test or held-out, not "tset"'),
    ("data.merge=[[0, 1], [1, 2]]", "in one of two or more groups: class 1 is in 2 places"),
    ("data.merge=[[0, 1], [2], []]", "groups: group 3 is empty"),
    ("data.merge=[[0, 1], [2, 3]]", "groups: 3 is no class"),
    ("data.merge=[[0, 1, 2]]", "groups: there is 1 group"),
    ("data.merge=[]", "groups: class 0 is in 0 places"),
    ("data.merge=[[0, 1], [5]]", "data.merge must place each of the classes 0 … 2 in one"),
    ("data.set=gone.pt", "gone.pt: no such file"),
]


@pytest.mark.parametrize(("change", "message"), REFUSED, ids=[r[0] for r in REFUSED])
def test_a_recipe_that_cannot_be_run_is_refused_in_one_sentence(
    raw_recipe: dict[str, Any], tmp_path: Path, change: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from distill.commands.teach import main

    path, out = write_recipe(tmp_path, raw_recipe), tmp_path / "out"
    assert main([str(path), "--set", change, "--out", str(out)]) == 2
    lines = capsys.readouterr().err.strip().split("\n")
    assert len(lines) == 1
    assert message in lines[0]
    assert str(path) in lines[0]
    assert not out.exists()


def test_the_command_line_prints_the_mistake_without_a_traceback(
    raw_recipe: dict[str, Any], tmp_path: Path
) -> None:
    path = write_recipe(tmp_path, raw_recipe)
    result = run_module("distill", "teach", str(path), "--set", f"{STUDENT}.tau=0", cwd=tmp_path)
    assert result.returncode == 2
    assert result.stderr.strip() == (
        f"distill: {path}: {STUDENT}.tau, the temperature, must be above 0, not 0"
    )


def weigh(raw: dict[str, Any], progress: float, epoch: float = 0.0) -> float:
    """The weight of a loss at a batch."""
    nothing = torch.zeros(0)
    batch = Batch(nothing, nothing, nothing, progress, epoch)
    return WeightedLoss(parse_value(LossPart, raw, ""), "").weight(batch)


def test_the_weight_of_a_loss_moves_geometrically_or_straight() -> None:
    raw = {**hinton("t", 0.1), "until": 0.9}
    assert [round(weigh(raw, progress), 6) for progress in (0.0, 0.5, 1.0)] == [0.1, 0.3, 0.9]
    straight = {**hinton("t", 0.0), "until": 1.0}
    assert [weigh(straight, progress) for progress in (0.0, 0.25, 1.0)] == [0.0, 0.25, 1.0]
    assert weigh(CE, 0.7) == 1.0


def test_words_of_older_recipes_stay_and_are_written_as_the_new_ones() -> None:
    parts = [LossPart(loss=word, tap="subclasses") for word in ("spread", "informed")]
    assert [part.loss for part in parts] == ["negative-sampling", "mutual-information"]
