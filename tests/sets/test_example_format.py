"""A new format is one file and one line: the command line, its help and the contract test know it."""

import shutil
from pathlib import Path

import pytest

from tests.helpers import copy_package, run_module

TESTS = Path(__file__).parents[1]
LINE = '    "npz": Format("distill.sets.formats.npz", "two arrays of NumPy", writes=True, reads="public"),\n'


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package and the contract test in another folder, with the example's file and line."""
    root = tmp_path_factory.mktemp("copy")
    shutil.copy(TESTS.parent / "pyproject.toml", root)
    (root / "tests" / "sets").mkdir(parents=True)
    for name in ("__init__", "helpers", "sets/__init__", "sets/samples", "sets/test_format_contract"):
        shutil.copy(TESTS / f"{name}.py", root / "tests" / f"{name}.py")
    example = TESTS / "sets" / "example_format.py"
    copy_package(root, example, "sets/formats/npz.py", "sets/formats/__init__.py:FORMATS", LINE)
    return root


def test_the_help_lists_the_new_format(package: Path) -> None:
    result = run_module("distill", "export", "--help", cwd=package, env={"PYTHONPATH": str(package)})
    text = " ".join(result.stdout.replace("│", " ").split())
    assert "--to FORMAT" in text
    assert "npz: two arrays of NumPy" in text
    result = run_module("distill", "import", "--help", cwd=package, env={"PYTHONPATH": str(package)})
    assert "npz: two arrays of NumPy" in " ".join(result.stdout.replace("│", " ").split())


def test_a_misspelt_format_gets_a_suggestion(package: Path) -> None:
    result = run_module(
        "distill", "export", "set.pt", "--to", "nzp", cwd=package, env={"PYTHONPATH": str(package)}
    )
    assert result.returncode == 2
    assert (
        '--to: no format called "nzp"; did you mean "npz"? (known: hf, images, npz, safetensors)'
        in result.stderr
    )


def test_the_contract_test_includes_the_new_format_and_passes(package: Path) -> None:
    """Among others, `distill export --to npz` writes it, and `distill import` reads it."""
    env = {"PYTHONPATH": str(package), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # plugins take seconds to load
    result = run_module("pytest", "-p", "no:cacheprovider", "tests/sets", "-k", "npz", cwd=package, env=env)
    assert result.returncode == 0, result.stdout
    assert result.stdout.count(".") >= 14  # one per test
