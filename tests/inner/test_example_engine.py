"""A new engine is one new file and one line: CONTRIBUTING's example, added to a copy of the package."""

from pathlib import Path

import pytest
import torch

from tests.helpers import (
    copy_package,
    make_environment,
    real_batch,
    run_module,
    small_problem,
    small_steps,
    small_weights,
    write_npz,
)
from tests.inner.example_engine import FirstOrder

LINE = '    "first-order": Entry("distill.inner.engines.first_order:FirstOrder", "pass gradients on"),\n'
SCRIPT = """
from types import SimpleNamespace

import distill.student.comparison.baselines
from distill.__main__ import main

distill.student.comparison.baselines.math = SimpleNamespace(ceil=lambda _: 1)  # few epochs on all real data
arguments = "--network mlp --width 4 --dataset data.npz --n 3 --inner-steps 2 --outer-steps 2".split()
arguments += ["--outer-batch", "8", "--out", "run"]
print("distils:", main(["image", "--engine", "first-order", "--decay", "0.5", *arguments]))
print("refuses:", main(["image", "--engine", "unroll", "--decay", "0.5", *arguments, "--overwrite"]))
print("misspelt:", main(["image", "--engine", "first-ordr", *arguments, "--overwrite"]))
main(["image", "--engine", "first-order", "--help"])
"""


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("package")
    example = Path(__file__).with_name("example_engine.py")
    copy_package(folder, example, "inner/engines/first_order.py", "inner/engines/__init__.py:ENGINES", LINE)
    write_npz(folder / "data.npz", train=60, test=12)
    return folder


def test_it_is_exact_for_a_single_step() -> None:
    from distill import Unroll

    problem, (x, y) = small_problem(), real_batch()
    state, steps = problem.start(small_weights(problem)), small_steps(problem, count=1)
    results = [
        engine.gradient(problem.advance, state, steps, lambda s: problem.loss(s, x, y))
        for engine in (FirstOrder(), Unroll())
    ]
    (first, first_gradients), (exact, exact_gradients) = results
    torch.testing.assert_close(first, exact)
    torch.testing.assert_close(first_gradients, exact_gradients)


def test_the_command_line_and_the_help_know_it_and_its_options(package: Path) -> None:
    (package / "script.py").write_text(SCRIPT)
    result = run_module("script", cwd=package, env=make_environment(package))
    assert result.returncode == 0, result.stderr
    for line in ("distils: 0", "refuses: 2", "misspelt: 2", "--decay FACTOR"):
        assert line in result.stdout
    assert (package / "run" / "set.pt").is_file()
    assert "--decay is an option of --engine first-order; this run has --engine unroll" in result.stderr
    assert 'no engine called "first-ordr"; did you mean "first-order"?' in result.stderr
