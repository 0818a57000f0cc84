"""What the README shows works as shown."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

import distill.runs.library
from distill.data.images import load
from distill.kd.losses import KD_LOSSES
from distill.kd.networks import build_networks
from distill.kd.recipe.checks import check_recipe
from distill.kd.recipe.files import read_recipe
from distill.runs.settings import Config, resolved
from distill.sets.distilled import DistilledSet
from distill.student import train
from tests.helpers import digit_set, waves

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.fixture
def digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DistilledSet:
    """A set for LeNet, saved where the README's code looks for it."""
    data = digit_set()
    data.save(tmp_path / "set.pt")
    monkeypatch.chdir(tmp_path)
    return data


def test_a_stranger_with_plain_torch_trains_the_same_network(digits: DistilledSet) -> None:
    code = next(block for block in BLOCKS if "torch.load" in block)
    scope: dict = {}
    exec(code, scope)
    x = waves(4, 1, 28, 28, phase=3).float()
    torch.testing.assert_close(scope["net"](x).detach(), train(digits).logits(x))
    assert len(code.strip().split("\n")) <= 22


def test_the_python_of_the_beginning_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def short(config: Config) -> Config:
        return replace(resolved(config), outer_steps=2, networks=2, judges=1)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(distill.runs.library, "resolved", short)
    network = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3))
    scope: dict = {"x": waves(60, 1, 4, 4).float(), "y": torch.arange(60) % 3, "network": network}
    exec(next(block for block in BLOCKS if "distill.distill(" in block), scope)
    assert torch.equal(DistilledSet.load("set.pt").items, scope["few"].items)
    assert scope["student"].logits(scope["x"]).shape == (60, 3)


def test_the_python_of_students_runs(digits: DistilledSet) -> None:
    code = next(block for block in BLOCKS if "DistilledSet.load" in block)
    scope: dict = {"torch": torch}
    exec(code, scope)
    assert scope["student"].logits(digits.items).shape == (5, 10)
    assert next(iter(scope["loader"]))[0].shape == (5, 1, 28, 28)


def test_the_tree_names_every_module() -> None:
    tree = README.split("## The tree")[1]
    root = Path(__file__).parents[1] / "distill"
    missing = [p.name for p in root.rglob("*.py") if p.name != "__init__.py" and p.name not in tree]
    assert missing == []


def test_the_recipe_shown_is_one_that_can_be_followed(tmp_path: Path) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    (tmp_path / "recipe.yaml").write_text(block, encoding="utf-8")
    recipe = read_recipe(tmp_path / "recipe.yaml")
    check_recipe(recipe, build_networks(recipe, load("mnist")[0], "cpu"))
    assert [list(stage.turns) for stage in recipe.stages] == [["teacher"], ["student"]]


def test_every_loss_of_recipes_is_told() -> None:
    assert [name for name in KD_LOSSES if f"`{name}`" not in README] == []


@pytest.mark.parametrize("table", sorted((Path(__file__).parents[1] / "benchmarks" / "results").glob("*.md")))
def test_the_tables_are_those_of_the_benchmarks(table: Path) -> None:
    missing = [line for line in table.read_text(encoding="utf-8").splitlines() if line not in README]
    assert missing == []
