"""A new format is one file and one line: the command line, its help and the contract test know it."""

import shutil
from pathlib import Path

import pytest

import distill
from tests.helpers import command

PACKAGE, TESTS = Path(distill.__file__).parent, Path(__file__).parents[1]
TABLE = "distill/sets/formats/__init__.py"
LINE = """
    "npz": Format("distill.sets.formats.npz", "two arrays of NumPy", writes=True, reads="public"),"""


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package and the contract test in another folder, with the example's file and line."""
    root = tmp_path_factory.mktemp("copy")
    shutil.copytree(
        PACKAGE, root / "distill", ignore=shutil.ignore_patterns("__pycache__", "mnist", "bundled")
    )
    shutil.copy(PACKAGE.parent / "pyproject.toml", root)
    (root / "tests" / "sets").mkdir(parents=True)
    for name in ("__init__", "helpers", "sets/__init__", "sets/samples", "sets/test_format_contract"):
        shutil.copy(TESTS / f"{name}.py", root / "tests" / f"{name}.py")
    shutil.copy(TESTS / "sets" / "example_format.py", root / "distill" / "sets" / "formats" / "npz.py")
    table = (root / TABLE).read_text(encoding="utf-8")
    (root / TABLE).write_text(table.replace("FORMATS = {", "FORMATS = {" + LINE), encoding="utf-8")
    return root


def test_the_help_shows_the_new_word(copy: Path) -> None:
    done = command("distill", "export", "--help", cwd=copy, env={"PYTHONPATH": str(copy)})
    text = " ".join(done.stdout.replace("│", " ").split())
    assert "--to FORMAT" in text
    assert "npz: two arrays of NumPy" in text
    done = command("distill", "import", "--help", cwd=copy, env={"PYTHONPATH": str(copy)})
    assert "npz: two arrays of NumPy" in " ".join(done.stdout.replace("│", " ").split())


def test_a_misspelt_word_gets_a_suggestion(copy: Path) -> None:
    done = command("distill", "export", "set.pt", "--to", "nzp", cwd=copy, env={"PYTHONPATH": str(copy)})
    assert done.returncode == 2
    assert (
        '--to: no format called "nzp"; did you mean "npz"? (known: hf, images, npz, safetensors)'
        in done.stderr
    )


def test_the_contract_test_knows_it_and_it_passes(copy: Path) -> None:
    """Among others, `distill export --to npz` writes it, and `distill import` reads it."""
    env = {"PYTHONPATH": str(copy), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}  # plugins take seconds to load
    done = command("pytest", "-p", "no:cacheprovider", "tests/sets", "-k", "npz", cwd=copy, env=env)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count(".") >= 14  # one per test
