"""A new network is one new file and one line: CONTRIBUTING's example, added to a copy of the package."""

import os
import re
from pathlib import Path

import pytest

from tests.helpers import copy_package, run_module, write_npz

EXAMPLE = Path(__file__).with_name("example_network.py")
LINE = '    "allconv": Entry("distill.networks.allconv:AllConvNet", "strided convolutions, no pooling"),\n'
SCRIPT = """
from types import SimpleNamespace

import distill.student.comparison.baselines
from distill.__main__ import main
from distill.networks.build import build_network
from tests.contracts import network_contract

distill.student.comparison.baselines.math = SimpleNamespace(ceil=lambda _: 1)  # few epochs on all real data
arguments = "--width 4 --dataset data.npz --n 3 --inner-steps 2 --outer-steps 2 --outer-batch 8 --out run"
print("distils:", main(["image", "--network", "allconv", *arguments.split()]))
print("misspelt:", main(["image", "--network", "alconv", *arguments.split()]))
for shape in ((1, 28, 28), (3, 8, 8)):
    network_contract(build_network("allconv", shape, 5, width=8), shape, 5)
print("contract: passed")
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a copy of the package, the example's file and its line in it."""
    folder = tmp_path_factory.mktemp("package")
    copy_package(folder, EXAMPLE, "networks/allconv.py", "networks/__init__.py:IMAGES", LINE)
    write_npz(folder / "data.npz", train=60, test=12)
    return folder


def make_environment(package: Path) -> dict[str, str]:
    """The changed copy goes before the installed package."""
    path = os.pathsep.join([str(package), str(Path(__file__).parents[2])])
    return {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def test_the_command_line_and_the_contract_include_the_new_network(package: Path) -> None:
    (package / "script.py").write_text(SCRIPT)
    result = run_module("script", cwd=package, env=make_environment(package))
    assert result.returncode == 0, result.stderr
    assert re.findall(r"^(?:distils|misspelt|contract): .+", result.stdout, re.MULTILINE) == [
        "distils: 0", "misspelt: 2", "contract: passed",
    ]  # fmt: skip
    assert (package / "run" / "set.pt").is_file()
    assert 'did you mean "allconv"' in result.stderr


def test_the_help_lists_the_new_network(package: Path) -> None:
    result = run_module("distill", "image", "--help", cwd=package, env=make_environment(package))
    assert "allconv" in result.stdout
