"""A new network is one new file and one line: CONTRIBUTING's example, added to a copy of the package."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import distill
from tests.helpers import write_npz

EXAMPLE = Path(__file__).with_name("example_network.py")
LINE = '"allconv": Entry("distill.networks.allconv:AllConvNet", "strided convolutions, no pooling"),'
SCRIPT = """
from types import SimpleNamespace

import distill.student.baselines
from distill.__main__ import main
from distill.networks.build import build_network
from tests.contracts import network_contract

distill.student.baselines.math = SimpleNamespace(ceil=lambda _: 1)  # few epochs on all real data
words = "--width 4 --dataset data.npz --n 3 --inner-steps 2 --outer-steps 2 --outer-batch 8 --out run"
print("distils:", main(["image", "--network", "allconv", *words.split()]))
print("misspelt:", main(["image", "--network", "alconv", *words.split()]))
for shape in ((1, 28, 28), (3, 8, 8)):
    network_contract(build_network("allconv", shape, 5, width=8), shape, 5)
print("contract: passed")
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a copy of the package, the example's file and its line in it."""
    source, folder = Path(distill.__file__).parent, tmp_path_factory.mktemp("package")
    shutil.copytree(source, folder / "distill", ignore=shutil.ignore_patterns("__pycache__", "bundled"))
    networks = folder / "distill" / "networks"
    shutil.copy(EXAMPLE, networks / "allconv.py")
    table = (networks / "__init__.py").read_text(encoding="utf-8")
    changed = re.sub(
        r"^IMAGES\b[^{\n]*\{\n", lambda start: f"{start[0]}    {LINE}\n", table, flags=re.MULTILINE
    )
    assert changed != table
    (networks / "__init__.py").write_text(changed, encoding="utf-8")
    write_npz(folder / "data.npz", train=60, test=12)
    return folder


def run(package: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """`python WORDS` beside the changed copy, which goes before the installed package."""
    path = os.pathsep.join([str(package), str(Path(__file__).parents[2])])
    env = os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
    line = [sys.executable, *words]
    return subprocess.run(
        line, cwd=package, env=env, capture_output=True, text=True, check=False, timeout=120
    )


def test_the_command_line_and_the_contract_know_it(package: Path) -> None:
    done = run(package, "-c", SCRIPT)
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^(?:distils|misspelt|contract): .+", done.stdout, re.MULTILINE) == [
        "distils: 0", "misspelt: 2", "contract: passed",
    ]  # fmt: skip
    assert (package / "run" / "set.pt").is_file()
    assert 'did you mean "allconv"' in done.stderr


def test_the_help_names_it(package: Path) -> None:
    assert "allconv" in run(package, "-m", "distill", "image", "--help").stdout
