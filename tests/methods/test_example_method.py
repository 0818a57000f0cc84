"""A new method is one new file and one line: CONTRIBUTING's example, added to a copy of the package."""

import os
import shutil
from pathlib import Path

import pytest

import distill
from tests.helpers import command, write_npz

EXAMPLE = Path(__file__).with_name("example_method.py")
LINE = '"m3d": Entry("distill.methods.m3d:M3D", "match distributions of features (Zhang et al. 2024)"),'
SCRIPT = """
from types import SimpleNamespace

import distill.student.baselines
from distill.__main__ import main
from tests.methods.test_methods import test_every_method_passes_the_contract

distill.student.baselines.math = SimpleNamespace(ceil=lambda _: 1)  # few epochs on all real data
words = "--width 4 --network mlp --dataset data.npz --n 3 --inner-steps 2 --outer-steps 2 --outer-batch 8"
words += " --out run"
print("distils:", main(["image", "--method", "m3d", "--bandwidth", "0.5", *words.split()]))
print("misspelt:", main(["image", "--method", "m3", *words.split()]))
print("refuses:", main(["image", "--method", "dm", "--bandwidth", "0.5", *words.split(), "--overwrite"]))
test_every_method_passes_the_contract("m3d")
print("contract: passed")
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a copy of the package, the example's file and its line in it."""
    source, folder = Path(distill.__file__).parent, tmp_path_factory.mktemp("package")
    shutil.copytree(source, folder / "distill", ignore=shutil.ignore_patterns("__pycache__", "bundled"))
    methods = folder / "distill" / "methods"
    shutil.copy(EXAMPLE, methods / "m3d.py")
    table = (methods / "__init__.py").read_text(encoding="utf-8")
    (methods / "__init__.py").write_text(
        table.replace("METHODS = {\n", f"METHODS = {{\n    {LINE}\n"), encoding="utf-8"
    )
    write_npz(folder / "data.npz", train=60, test=12)
    return folder


def environment(package: Path) -> dict[str, str]:
    """The changed copy goes before the installed package."""
    return {"PYTHONPATH": os.pathsep.join([str(package), str(Path(__file__).parents[2])])}


def test_the_command_line_and_the_contract_know_it(package: Path) -> None:
    (package / "script.py").write_text(SCRIPT)
    done = command("script", cwd=package, env=environment(package))
    assert done.returncode == 0, done.stderr
    for line in ("distils: 0", "misspelt: 2", "refuses: 2", "contract: passed"):
        assert line in done.stdout
    assert (package / "run" / "set.pt").is_file()
    assert 'did you mean "m3d"' in done.stderr
    assert "--bandwidth is an option of --method m3d; this run has --method dm" in done.stderr


def test_the_help_names_it_and_its_options(package: Path) -> None:
    env = environment(package)
    assert "m3d" in command("distill", "image", "--help", cwd=package, env=env).stdout
    text = command("distill", "image", "--method", "m3d", "--help", cwd=package, env=env).stdout
    assert "--bandwidth FACTOR" in text
