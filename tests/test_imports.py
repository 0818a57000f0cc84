"""The structure of the package: imports in one direction, one table per folder, and a mirror in tests/."""

import ast
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import distill

ROOT = Path(distill.__file__).parent
TOP = {"__init__", "__main__", "errors", "mnist", "randomness", "registry"}
UTILITIES = {"errors", "randomness", "registry"}
ROOMS = (
    "data", "networks", "inner", "methods", "outer", "sets", "student", "kd", "report", "runs",
    "applications", "commands",
)  # fmt: skip
STUDENT_MAY_NOT = {"methods", "outer"}
COMMANDS = "commands"  # one file per verb: it may hold more than ten


def list_imports(path: Path) -> set[str]:
    """The modules of distill that a file imports, at the top or inside a function: "inner.engines.base"."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name.removeprefix("distill.") for name in names if name.startswith("distill.")}


def room_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0]


FILES = [p for p in sorted(ROOT.rglob("*.py")) if p.parent != ROOT and p.name != "__main__.py"]


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_in_one_direction(path: Path) -> None:
    allowed = UTILITIES | set(ROOMS[: ROOMS.index(room_of(path)) + 1])
    if room_of(path) == "student":
        allowed -= STUDENT_MAY_NOT
    assert {name.split(".")[0] for name in list_imports(path)} <= allowed


def test_students_import_no_engine() -> None:
    files = (ROOT / "student").rglob("*.py")
    assert [p.name for p in files if any("engines" in name for name in list_imports(p))] == []


def test_the_top_and_the_rooms_are_those_of_the_design() -> None:
    assert {p.stem for p in ROOT.glob("*.py")} == TOP
    assert {p.name for p in ROOT.iterdir() if p.is_dir() and p.name != "__pycache__"} == set(ROOMS)


@pytest.mark.parametrize("folder", sorted({p.parent for p in FILES}), ids=lambda p: str(p.relative_to(ROOT)))
def test_a_folder_holds_two_to_ten_files(folder: Path) -> None:
    count = len([p for p in folder.glob("*.py") if p.name != "__main__.py"])
    assert 2 <= count <= (20 if folder.name == COMMANDS else 10)


def test_files_stay_small() -> None:
    lines = {str(p.relative_to(ROOT)): p.read_text(encoding="utf-8").count("\n") for p in ROOT.rglob("*.py")}
    assert max(lines.values()) <= 300
    assert len([n for n in lines.values() if n > 250]) <= 3


def test_a_verb_is_at_most_sixty_lines() -> None:
    from distill.commands import VERBS

    files = [import_module(f"distill.commands.{module}").__file__ for module, _ in VERBS.values()]
    assert {
        Path(str(f)).name: n for f in files if (n := len(Path(str(f)).read_text().splitlines())) > 60
    } == {}


@pytest.mark.parametrize("name", ROOMS)
def test_every_room_says_what_it_is_for_without_torch(name: str) -> None:
    doc = import_module(f"distill.{name}").__doc__ or ""
    assert len(doc.split()) > 12
    code = f"import sys, distill.{name}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_tests_mirror_the_rooms() -> None:
    folders = {p.name for p in Path(__file__).parent.iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert folders == set(ROOMS)


def test_every_public_name_can_be_imported() -> None:
    assert {"DistilledSet", "Problem", "descend", "distill", "Unroll"} <= set(distill.__all__)
    assert all(getattr(distill, name) for name in distill.__all__)
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        distill.Nothing  # noqa: B018


@pytest.mark.parametrize("module", ["mnist", "student.__main__", "__main__", "commands.cli"])
def test_the_command_line_parses_before_torch_is_imported(module: str) -> None:
    code = f"import sys, distill.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_rooms_of_the_documents_are_there_after_import_distill_alone() -> None:
    code = "import distill; print(distill.student.evaluate, distill.kd.relabel, distill.data.to_dataset)"
    result = subprocess.run([sys.executable, "-c", code], cwd=ROOT.parent, capture_output=True, check=False)
    assert result.returncode == 0, result.stderr
