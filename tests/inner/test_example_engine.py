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
WORDS = (
    "--network", "mlp", "--width", 4, "--dataset", "data.npz", "--n", 3, "--inner-steps", 2,
    "--outer-steps", 2, "--outer-batch", 8, "--out", "run",
)  # fmt: skip


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


def test_the_command_line_knows_it_and_its_options(package: Path) -> None:
    env = make_environment(package)
    text = run_module("distill", "image", "--engine", "first-order", "--help", cwd=package, env=env).stdout
    assert "--decay FACTOR" in text
    done = run_module(
        "distill", "image", "--engine", "first-order", "--decay", 0.5, *WORDS, cwd=package, env=env
    )
    assert done.returncode == 0, done.stderr
    assert (package / "run" / "set.pt").is_file()
    wrong = run_module("distill", "image", "--engine", "unroll", "--decay", 0.5, *WORDS, cwd=package, env=env)
    assert (wrong.returncode, wrong.stderr.count("\n")) == (2, 1)
    near = run_module(
        "distill", "image", "--engine", "first-ordr", *WORDS, "--overwrite", cwd=package, env=env
    )
    assert 'no engine called "first-ordr"; did you mean "first-order"?' in near.stderr
