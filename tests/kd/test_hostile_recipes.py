"""Recipes of strangers: what they name, repeat or claim is refused before anything is read or trained."""

import time
from pathlib import Path

import pytest
import yaml

from distill.commands.teach import main as teach
from distill.errors import UserError
from distill.kd.recipe.files import read_recipe
from distill.kd.recipe.parts import NetworkPart, Recipe, RecipeError
from distill.kd.recipe.yaml_loader import parse_yaml
from distill.kd.sources import load_sources
from distill.kd.teachers import WithTeacher, relabel
from distill.student import train
from tests.helpers import run_module, small_set, write_npz
from tests.recipes import CE, NET, build_raw_recipe, parse_recipe, train_recipe, write_recipe


@pytest.mark.parametrize(
    "name",
    ["../../x", "/home/me/thesis/set", "a/b", "..", ".", "", ".hidden", "a\\b", "a\nb", "x" * 101, "NAME@1"],
)
def test_a_network_whose_name_is_a_path_is_refused_before_training(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("distill.kd.sources.load_sources", lambda *_: pytest.fail("read the data first"))
    path = write_recipe(tmp_path, build_raw_recipe(tmp_path, {name: NET}, [{"turns": {name: [CE]}}]))
    before = sorted(tmp_path.rglob("*"))
    assert teach([str(path), "--out", str(tmp_path / "run")]) == 2
    assert "cannot be the name of a file: use letters" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before
    with pytest.raises(RecipeError, match="cannot be the name of a file"):
        Recipe({name: NetworkPart()}, [])


@pytest.mark.parametrize("name", ["student", "my net", "ResNet-18_v1.5+kd", "größe", "7"])
def test_ordinary_names_of_networks_stay(name: str) -> None:
    assert list(Recipe({name: NetworkPart()}, []).networks) == [name]


def test_a_folder_with_a_recipe_of_the_user_is_not_a_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_recipe(tmp_path, build_raw_recipe(tmp_path, {"a": NET}, [{"turns": {"a": [CE]}}]))
    before = path.read_bytes()
    assert teach([str(path), "--out", str(tmp_path), "--overwrite"]) == 2
    assert "holds recipe.yaml, and no scores.json beside it: give another --out" in capsys.readouterr().err
    assert path.read_bytes() == before


BOMB = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "\n".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]"
    for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)
YAML = {
    "duplicate keys": ("seed: 1\nnetworks: {}\nseed: 2", "line 1: not YAML .* .the key 'seed' stands twice"),
    "duplicate keys within": ("networks: {a: {width: 3,\n width: 4}}", "the key 'width' stands twice"),
    "equal as words": ("networks: {1: {}, '1': {}}", "the key '1' stands twice"),
    "alias bomb": (BOMB, "more than 10,000 values, with what aliases repeat"),
    "alias within itself": ("stages: &a [*a]", "an alias stands in what it repeats"),
    "900 deep": ("a: " + "[" * 900 + "]" * 900, "nested deeper than 30 levels"),
    "5,000 digits": ("seed: " + "9" * 5000, "a number or date is not possible"),
    "a hexadecimal of 5,000 digits": (
        "networks: {a: {}}\nstages: []\nseed: 0x" + "f" * 5000, "seed must be a number of at most 18 digits",
    ),
    "13th month": ("seed: 2020-13-45", "a number or date is not possible"),
    "no networks": ("networks: {}\nstages: []", "networks: name at least one network"),
    "a long value": ("networks: {a: {}}\nstages: " + "x" * 5000, r"stages must be a list, not 'x{70,78}…$"),
    "a long key": ("networks: {a: {}}\nstages: []\n" + "k" * 500 + ": 1", r'no key called "k{79}…"'),
    "larger than a recipe": ("# " + "x" * 10**6, "is larger than a recipe can be: 1 MB"),
    "a control character": (
        'networks: {a: {name: "a\\0b"}}\nstages: []', "networks.a.name holds a control character"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("content", "sentence"), YAML.values(), ids=YAML)
def test_yaml_that_a_recipe_never_is(content: str, sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.yaml"
    path.write_text(content, encoding="utf-8")
    start = time.perf_counter()
    with pytest.raises(RecipeError, match=sentence) as refusal:
        read_recipe(path)
    assert time.perf_counter() - start < 5
    assert len(str(refusal.value)) < 400 + len(str(path))
    assert "\n" not in str(refusal.value)


def test_aliases_and_merges_of_ordinary_recipes_stay(tmp_path: Path) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "networks: {a: &net {name: mlp, width: 3}, b: {<<: *net, seed: 1}}\nstages: []", encoding="utf-8"
    )
    assert read_recipe(path).networks["b"] == NetworkPart(name="mlp", width=3, seed=1)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            "stages.0.epochs=1000000000000",
            "epochs must be at most 1,000,000, not 1,000,000,000,000: it would take",
        ),
        ("stages.0.keep=1000000000000", "stages.0.keep must be at most 10,000"),
        ("networks.a.width=1000000000000", "networks.a.width must be at most 100,000, not .*4 PB of memory"),
        ("stages.0.lr=.inf", "stages.0.lr must be a finite number, not inf"),
        ("data.test=0", "data.test must be above 0, not 0"),
        ("stages.0.batch=1e30", "stages.0.batch must be a whole number, not 1e\\+30"),
    ],
)
def test_numbers_of_1e12_are_refused_with_what_they_would_take(
    change: str, sentence: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_recipe(tmp_path, build_raw_recipe(tmp_path, {"a": NET}, [{"turns": {"a": [CE]}}]))
    assert teach([str(path), "--set", change, "--out", str(tmp_path / "run")]) == 2
    with pytest.raises(AssertionError, match=sentence):
        raise AssertionError(capsys.readouterr().err)


def test_bootstrap_above_the_data_draws_as_many_as_there_are(tmp_path: Path) -> None:
    stage = {"turns": {"a": [CE]}, "bootstrap": 1, "train": 10**6}
    assert list(train_recipe(build_raw_recipe(tmp_path, {"a": NET}, [stage]))) == ["a"]


def test_an_empty_held_out_split_is_refused(tmp_path: Path) -> None:
    write_npz(tmp_path / "few.npz", train=9)
    raw = build_raw_recipe(tmp_path, {"a": NET}, [], name=str(tmp_path / "few.npz"), score="held-out")
    with pytest.raises(UserError, match="9 training items"):
        load_sources(parse_recipe(raw).data, 0, "cpu")


WRONG_TYPES = """
import distill.kd.teachers as teachers
from distill.errors import UserError
from distill.kd.recipe.parts import DataPart, NetworkPart, Recipe
from distill.kd.run import run_recipe
from distill.kd.sources import load_sources
from distill.sets.distilled import DistilledSet
from distill.student import train

sources = load_sources(DataPart(name="blobs.npz"), 0, "cpu")
data = DistilledSet.load("set.pt")
student = train(data)
recipe = Recipe({"a": NetworkPart()}, [])
for call in (
    lambda: next(run_recipe("recipe.yaml", sources)),
    lambda: next(run_recipe(None, sources)),
    lambda: next(run_recipe(Recipe({"a": NetworkPart(width="wide")}, []), sources)),
    lambda: next(run_recipe(Recipe({"a": NetworkPart()}, {}), sources)),
    lambda: next(run_recipe(recipe, recipe)),
    lambda: teachers.relabel(data, student, "4"),
    lambda: teachers.WithTeacher(student, tau=True),
    lambda: teachers.relabel(data, "full.pt", 1.0),
):
    try:
        print("RIGHT", call())
    except UserError as error:
        print(error)
"""


def test_run_recipe_and_teachers_with_wrong_types_are_one_sentence_each(tmp_path: Path) -> None:
    write_npz(tmp_path / "blobs.npz")
    small_set().save(tmp_path / "set.pt")
    (tmp_path / "wrong_types.py").write_text(WRONG_TYPES, encoding="utf-8")
    env = {"PYTHONPATH": f"{Path(__file__).parents[2]}:{tmp_path}"}
    result = run_module("wrong_types", cwd=tmp_path, env=env)
    assert result.stderr == ""
    assert result.stdout.splitlines() == [
        "recipe is a str: give what read_recipe(path) returns",
        "recipe is a NoneType: give what read_recipe(path) returns",
        "networks.a.width must be a whole number, not 'wide'",
        "stages must be a list, not {}",
        "sources is a Recipe: give what load_sources() returns",
        "tau must be a finite number, not '4'",
        "tau must be a finite number, not True",
        "full.pt cannot be read (No such file or directory)",
    ]


@pytest.mark.parametrize("tau", [0.0, -1.0, float("inf"), float("nan"), 1e200])
def test_odd_temperatures_are_one_sentence_with_python_s_names(tau: float) -> None:
    data = small_set()
    student = train(data)
    for call in (lambda: relabel(data, student, tau), lambda: WithTeacher(student, tau=tau)):
        with pytest.raises(UserError, match=r"^tau must be (above 0|a finite number|at most 1e\+30), not"):
            call()


def test_odd_shares_and_losses_are_one_sentence() -> None:
    student = train(small_set())
    with pytest.raises(UserError, match="^share must be between 0 and 1, not 7"):
        WithTeacher(student, share=7.0)
    with pytest.raises(UserError, match='^loss: no loss called "x"'):
        WithTeacher(student, "x")


def test_the_yaml_of_the_tests_reads_as_yaml_does(tmp_path: Path) -> None:
    raw = build_raw_recipe(tmp_path, {"a": NET}, [{"turns": {"a": [CE]}}])
    path = write_recipe(tmp_path, raw)
    assert read_recipe(path) == parse_recipe(yaml.safe_load(path.read_text(encoding="utf-8")))


def test_a_rate_of_1e_3_is_a_number() -> None:
    """YAML 1.1 takes it for a word."""
    assert parse_yaml("lr: 1e-3")["lr"] == 0.001


def test_a_network_called_no_is_not_called_false() -> None:
    with pytest.raises(RecipeError, match='line 1: .*the key no is True or False to YAML: write "no"'):
        parse_yaml("no: {name: mlp}")
