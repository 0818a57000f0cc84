"""The worked example of CONTRIBUTING: a new loss is one new file and one line of the table.

Both are added to a copy of the package; the contract, the command line and its "did you mean" then know it.
"""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from distill.kd.losses import KD_LOSSES
from tests.helpers import copy_package
from tests.recipes import CE, NET, build_raw_recipe, write_recipe

ROOT = Path(__file__).parents[2]
LINE = """    "similarity": KDLoss(
        "distill.kd.losses.similarity:similarity",
        "similar items of the teacher become similar items of the student (Tung and Mori 2019)",
        ("student", "teacher"),
        tap=True,
    ),
"""
TEST = "tests/kd/test_loss_table.py::test_a_loss_of_the_table_passes_the_contract[similarity]"
SCRIPT = """
import sys
import pytest

print("contract:", int(pytest.main(["-q", "-p", "no:cacheprovider", sys.argv[1]])))
from distill.commands.teach import main
for recipe in sys.argv[2:]:
    print("teach:", main([recipe, "--out", recipe + "-run"]))
"""


def copy_package_and_tests(folder: Path) -> Path:
    """The package and its tests with the example's file and its line."""
    shutil.copytree(ROOT / "tests", folder / "tests", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    example = Path(__file__).with_name("example_loss.py")
    return copy_package(folder, example, "kd/losses/similarity.py", "kd/losses/__init__.py:KD_LOSSES", LINE)


def write_example_recipe(folder: Path, loss: str) -> Path:
    """A student that has the example's loss towards a wider teacher."""
    part = {"loss": loss, "teacher": "teacher", "tap": "0", "weight": 10.0}
    networks = {"teacher": {**NET, "width": 8}, "student": NET}
    stages = [{"turns": {"teacher": [CE]}}, {"turns": {"student": [CE, part]}}]
    folder.mkdir()
    return write_recipe(folder, build_raw_recipe(folder, networks, stages))


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> subprocess.CompletedProcess[str]:
    """The contract, a recipe with the loss, and a recipe that misspells it, in the copy."""
    copy = copy_package_and_tests(tmp_path_factory.mktemp("copy"))
    recipes = [write_example_recipe(copy / loss, loss) for loss in ("similarity", "similarty")]
    line = [sys.executable, "-W", "ignore", "-c", SCRIPT, TEST, *(str(recipe) for recipe in recipes)]
    return subprocess.run(line, cwd=copy, capture_output=True, text=True, timeout=120, check=False)


def test_the_contract_test_includes_the_new_loss(result: subprocess.CompletedProcess[str]) -> None:
    assert "similarity" not in KD_LOSSES
    assert "contract: 0" in result.stdout, result.stdout + result.stderr


def test_a_recipe_with_the_new_loss_runs(result: subprocess.CompletedProcess[str]) -> None:
    assert "teach: 0" in result.stdout, result.stdout + result.stderr
    assert "similarity/recipe.yaml, seed 0: test accuracy" in result.stdout


def test_a_misspelt_new_loss_is_recognised(result: subprocess.CompletedProcess[str]) -> None:
    assert "teach: 2" in result.stdout
    assert 'no loss called "similarty"; did you mean "similarity"?' in result.stderr
