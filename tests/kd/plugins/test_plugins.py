"""Plugins: networks, losses and data of one's own, from files that are imported where that was allowed."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from distill.commands.teach import main
from distill.errors import UserError
from distill.kd import teach
from distill.kd.plugins.files import load_plugins
from distill.kd.recipe.files import format_recipe, read_recipe
from distill.kd.recipe.parts import RecipeError
from tests.helpers import run_module
from tests.recipes import CE, NET, build_raw_recipe, parse_recipe, same_weights, train_recipe

ROOT = Path(__file__).parents[3]
PLUGIN = """
from pathlib import Path
import torch
from torch import nn
import torch.nn.functional as F

Path(__file__).with_name("imported").touch()

class Net(nn.Sequential):
    def __init__(self, shape, classes, width: int = 4, dropout: float = 0.5):
        super().__init__(
            nn.Flatten(), nn.Linear(torch.Size(shape).numel(), width), nn.Dropout(dropout),
            nn.Linear(width, classes)
        )

class Broken(nn.Module):
    def __init__(self, shape, classes):
        super().__init__()
        self.layer = missing

def number(shape, classes):
    return 3

def wide(shape, classes):
    return Net(shape, classes + 1)

def square(student, teacher):
    return F.mse_loss(student, teacher)

def labelled(student, labels, tau):
    return F.cross_entropy(student / tau, labels)

def failing(student):
    return student.nothing

def items(student):
    return student.sum(dim=1)

def constant(student):
    return torch.ones(())

def odd(student, theacher):
    return student.sum()

def backwards(teacher, student):
    return student.sum()

def blobs(count=60):
    y = torch.arange(count) % 3
    x = torch.randn(count, 4, generator=torch.Generator().manual_seed(0)) + 3 * F.one_hot(y, 4)
    return (x, y), (x[:30], y[:30])

def one():
    return blobs()[0][0]

def no_test():
    return blobs()[0], None

def ragged():
    return (torch.zeros(4, 2), torch.zeros(3, dtype=torch.long)), blobs()[1]

def raising():
    raise OSError("the disk is gone")

_hidden = NUMBER = 3
"""


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """A file of plugins, which leaves a file "imported" beside it when it is imported."""
    (tmp_path / "parts.py").write_text(PLUGIN, encoding="utf-8")
    return tmp_path / "parts.py"


def build_recipe(
    folder: Path, network: Any = None, loss: Any = None, data: str | None = None, **keys: Any
) -> dict[str, Any]:
    networks = {"a": network or {"name": "parts:Net"}, "teacher": NET}
    raw = build_raw_recipe(folder, networks, [{"turns": {"a": [CE, *([loss] if loss else [])]}}])
    if data:
        raw = {**raw, "networks": {"a": raw["networks"]["a"]}, "data": {"name": data}}
    return {"plugins": [str(folder / "parts.py")], **raw, **keys}


def test_a_recipe_with_plugins_is_refused_and_nothing_is_imported(
    plugin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "recipe.yaml", tmp_path / "out"
    path.write_text(yaml.safe_dump(build_recipe(tmp_path)), encoding="utf-8")
    assert main([str(path), "--out", str(out)]) == 2
    error = capsys.readouterr().err.replace("\n", " ")  # it may cut the folders of the file
    assert f"{path}: plugins: {str(plugin)[:20]}" in error
    assert "is code: read it, and give --allow-plugins to run it" in error
    with pytest.raises(UserError, match="is code: read it, and give allow_plugins to run it"):
        teach(build_recipe(tmp_path))
    with pytest.raises(UserError, match="is code"):
        teach(parse_recipe(build_recipe(tmp_path)))
    assert not out.exists()
    assert not (tmp_path / "imported").exists()
    assert main([str(path), "--out", str(out), "--allow-plugins"]) == 0
    assert (tmp_path / "imported").exists()
    assert read_recipe(out / "recipe.yaml", (), allow_plugins=True) == parse_recipe(build_recipe(tmp_path))


def test_the_example_of_the_documentation_runs(tmp_path: Path) -> None:
    arguments = ["teach", "examples/plugin/recipe.yaml", "--allow-plugins", "--out", str(tmp_path / "out")]
    result = run_module("distill", *arguments, cwd=ROOT)
    assert result.returncode == 0, result.stderr
    scores = [float(line.split()[1]) for line in result.stdout.splitlines() if line.endswith("%")]
    assert len(scores) == 2
    assert min(scores) > 90


def test_layers_that_draw_numbers_draw_the_same_in_each_run(plugin: Path, tmp_path: Path) -> None:
    load_plugins([str(plugin)], True)
    first, second, other = (
        train_recipe(build_recipe(tmp_path, {"name": "parts:Net", "arguments": {"dropout": p}}))["a"]
        for p in (0.5, 0.5, 0.0)
    )
    assert same_weights(first, second)
    assert not same_weights(first, other)


@pytest.mark.parametrize("loss", ["square", "labelled"])
def test_a_loss_gets_what_its_arguments_name(loss: str, plugin: Path, tmp_path: Path) -> None:
    """A square towards the teacher and a cross-entropy over τ: the same as the package's own."""
    load_plugins([str(plugin)], True)
    own: dict[str, Any] = {"loss": f"parts:{loss}", "weight": 0.5}
    known: dict[str, Any] = {"loss": "cross-entropy", "tau": 3.0, "weight": 0.5}
    if loss == "labelled":
        own |= {"tau": 3.0}
    else:
        own |= {"teacher": "teacher", "tap": "1.0", "teacher_tap": "1"}
        own, known = own | {"tap": "3"}, own | {"tap": "3", "weight": 0.0}
    trained = [train_recipe(build_recipe(tmp_path, None, part))["a"] for part in (own, known)]
    assert same_weights(*trained) == (loss == "labelled")


def test_a_data_set_of_a_function(plugin: Path, tmp_path: Path) -> None:
    experiment = teach(build_recipe(tmp_path, data="parts:blobs"), allow_plugins=True)
    assert experiment.students["a"].logits(torch.zeros(2, 4)).shape == (2, 3)
    sources = {**build_recipe(tmp_path, data="parts:blobs"), "data": {"name": "parts:blobs", "train": 20}}
    assert teach(sources, allow_plugins=True).scores["a"]["accuracy"] <= 1


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a name that is not there": (
        {"network": {"name": "parts:Nett"}},
        'networks.a: no class or function in parts.py called "Nett"; did you mean "Net"? (known: ',
    ),
    "a name that is a number": ({"network": {"name": "parts:NUMBER"}}, 'parts.py called "NUMBER"'),
    "a file that is no plugin": (
        {"network": {"name": "prats:Net"}},
        "networks.a: prats is no plugin of the recipe: give its key plugins: [prats.py]",
    ),
    "an argument": (
        {"network": {"name": "parts:Net", "arguments": {"widht": 3}}},
        'networks.a: no argument of parts:Net called "widht"; did you mean "width"?',
    ),
    "a type": (
        {"network": {"name": "parts:Net", "arguments": {"width": "big"}}},
        "networks.a.width must be a whole number, not 'big'",
    ),
    "a depth": ({"network": {"name": "parts:Net", "depth": 3}}, 'no argument of parts:Net called "depth"'),
    "a name as an argument": (
        {"network": {"name": "parts:Net", "arguments": {"name": "x"}}},
        "networks.a.arguments.name: it is a key of the network itself",
    ),
    "arguments of a network of the package": (
        {"network": {"name": "mlp", "arguments": {"width": 3}}},
        "networks.a.arguments are for networks of plugins: leave them out",
    ),
    "a constructor that fails": (
        {"network": {"name": "parts:Broken"}},
        "networks.a: parts:Broken cannot be built (NameError: name 'missing' is not defined)",
    ),
    "no network": ({"network": {"name": "parts:number"}}, "networks.a: parts:number: the network is a int"),
    "other classes": ({"network": {"name": "parts:wide"}}, "networks.a: parts:wide: "),
    "a loss that is not there": (
        {"loss": {"loss": "parts:squre", "teacher": "teacher"}},
        'stages.0.turns.a.1.loss: no class or function in parts.py called "squre"; did you mean "square"?',
    ),
    "a loss of an odd input": (
        {"loss": {"loss": "parts:odd"}},
        '1.loss: parts:odd takes no input of a loss called "theacher"; did you mean "teacher"?',
    ),
    "a loss of the teacher first": (
        {"loss": {"loss": "parts:backwards"}},
        "stages.0.turns.a.1.loss: the first argument of parts:backwards must be student",
    ),
    "a loss without its teacher": (
        {"loss": {"loss": "parts:square"}},
        "the loss parts:square needs a teacher",
    ),
    "a loss that fails": (
        {"loss": {"loss": "parts:failing"}},
        "stages.0.a.1: the loss parts:failing fails (AttributeError: 'Tensor' object has no",
    ),
    "a loss of items": (
        {"loss": {"loss": "parts:items"}},
        "stages.0.a.1: the loss parts:items returns a Tensor of (4,), not one number made of student",
    ),
    "a constant": (
        {"loss": {"loss": "parts:constant"}},
        "the loss parts:constant returns a constant, not one",
    ),
    "data that fail": (
        {"data": "parts:raising"},
        "data.name: parts:raising() fails (OSError: the disk is gone)",
    ),
    "one thing": ({"data": "parts:one"}, "data.name: parts:one() must return two things: the training data"),
    "no test data": (
        {"data": "parts:no_test"},
        "data.name: parts:no_test() must return test data too, not None",
    ),
    "ragged data": ({"data": "parts:ragged"}, "data.name: parts:ragged(): "),
}


@pytest.mark.parametrize(("keys", "sentence"), REFUSED.values(), ids=REFUSED)
def test_what_a_plugin_cannot_be_is_one_sentence(
    keys: dict[str, Any], sentence: str, plugin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "recipe.yaml", tmp_path / "out"
    path.write_text(yaml.safe_dump(build_recipe(tmp_path, **keys)), encoding="utf-8")
    assert main([str(path), "--out", str(out), "--allow-plugins"]) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert sentence in lines[0]


@pytest.mark.parametrize(
    ("content", "names", "sentence"),
    [
        (None, ["gone.py"], "plugins.0: .*gone.py is no Python file: give the path of one, as mine.py"),
        ("", ["text.txt"], "plugins.0: .*text.txt is no Python file"),
        ("def broken(:", ["bad.py"], r"plugins.0: .*bad.py cannot be imported \(SyntaxError: invalid syntax"),
        (
            "import nothing_such",
            ["bad.py"],
            r"bad.py cannot be imported \(ModuleNotFoundError: No module named",
        ),
        ("import sys; sys.exit(0)", ["bad.py"], r"bad.py cannot be imported \(SystemExit: 0\)"),
        ("", ["good.py", "good.py"], "plugins.1: two files are called good: rename one"),
    ],
    ids=("no file", "no Python", "no syntax", "an import", "an exit", "two"),
)
def test_files_that_are_no_plugins(
    content: str | None, names: list[str], sentence: str, tmp_path: Path
) -> None:
    for name in names if content is not None else ():
        (tmp_path / name).write_text(content or "", encoding="utf-8")
    with pytest.raises(RecipeError, match=sentence):
        load_plugins([str(tmp_path / name) for name in names], True)


def test_a_resolved_recipe_names_its_plugins(tmp_path: Path) -> None:
    raw = build_recipe(tmp_path, {"name": "parts:Net", "arguments": {"width": 3}})
    text = format_recipe(parse_recipe(raw))
    assert yaml.safe_load(text)["plugins"] == [str(tmp_path / "parts.py")]
    assert yaml.safe_load(text)["networks"]["a"]["arguments"] == {"width": 3}
