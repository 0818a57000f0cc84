"""A new method is one new file and one line: CONTRIBUTING's example, added to a copy of the package."""

from pathlib import Path

import pytest

from tests.helpers import copy_package, make_environment, run_module, write_npz

EXAMPLE = Path(__file__).with_name("example_method.py")
LINE = '    "m3d": Entry("distill.methods.m3d:M3D", "match distributions of features (Zhang et al. 2024)"),\n'
SCRIPT = """
from types import SimpleNamespace

import distill.student.comparison.baselines
from distill.__main__ import main
from tests.methods.test_methods import test_every_method_passes_the_contract

distill.student.comparison.baselines.math = SimpleNamespace(ceil=lambda _: 1)  # few epochs on all real data
arguments = "--width 4 --network mlp --dataset data.npz --n 3 --inner-steps 2 --outer-steps 2 --outer-batch 8"
arguments += " --out run"
print("distils:", main(["image", "--method", "m3d", "--bandwidth", "0.5", *arguments.split()]))
print("misspelt:", main(["image", "--method", "m3", *arguments.split()]))
print("refuses:", main(["image", "--method", "dm", "--bandwidth", "0.5", *arguments.split(), "--overwrite"]))
test_every_method_passes_the_contract("m3d")
print("contract: passed")
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a copy of the package, the example's file and its line in it."""
    folder = tmp_path_factory.mktemp("package")
    copy_package(folder, EXAMPLE, "methods/m3d.py", "methods/__init__.py:METHODS", LINE)
    write_npz(folder / "data.npz", train=60, test=12)
    return folder


def test_the_command_line_and_the_contract_include_the_new_method(package: Path) -> None:
    (package / "script.py").write_text(SCRIPT)
    result = run_module("script", cwd=package, env=make_environment(package))
    assert result.returncode == 0, result.stderr
    for line in ("distils: 0", "misspelt: 2", "refuses: 2", "contract: passed"):
        assert line in result.stdout
    assert (package / "run" / "set.pt").is_file()
    assert 'did you mean "m3d"' in result.stderr
    assert "--bandwidth is an option of --method m3d; this run has --method dm" in result.stderr


def test_the_help_lists_the_new_method_and_its_options(package: Path) -> None:
    env = make_environment(package)
    assert "m3d" in run_module("distill", "image", "--help", cwd=package, env=env).stdout
    help_text = run_module("distill", "image", "--method", "m3d", "--help", cwd=package, env=env).stdout
    assert "--bandwidth FACTOR" in help_text
