"""The benchmarks' own arithmetic, and that a stopped one goes on."""

from pathlib import Path

import pytest

from benchmarks import engines, mnist
from distill.engines import Unroll
from distill.outer import meta_gradient
from tests.helpers import small_set


def save(root: Path, case: mnist.Case, seed: int, mean: float) -> None:
    path = mnist.folder(root, case, seed)
    path.mkdir(parents=True)
    scores = {
        "accuracy": {"mean": mean, "std": 0.0, "n": 1},
        "full_data": 0.99,
        "baselines": {"random-real": {"mean": 0.3, "std": 0.1, "n": 20}},
    }
    small_set(scores=scores, provenance={"seconds": 10.0, "outer_steps": 7}).save(path / "set.pt")


def test_a_row_is_read_from_the_sets_of_its_seeds(tmp_path: Path) -> None:
    case = mnist.Case("n = 5, soft", ("--n", "5"))
    assert mnist.row(tmp_path, case) is None
    for seed, mean in enumerate((0.93, 0.95, 0.94)):
        save(tmp_path, case, seed, mean)
    row = mnist.row(tmp_path, case)
    assert row["accuracy"]["mean"] == pytest.approx(0.94)
    assert row["median"] == 0.94
    assert row["seconds"] == [10.0, 10.0, 10.0]
    assert "| n = 5, soft | 94.00 ± 1.00 % | 93.00, 95.00, 94.00 | 30.0 % | 99.0 % | 10 |" in mnist.table(
        [row]
    )


def test_a_case_that_is_done_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = mnist.Case("n = 5, soft", ("--n", "5"))
    save(tmp_path, case, 0, 0.9)
    ran = []
    monkeypatch.setattr(
        mnist.subprocess,
        "run",
        lambda line, **_: ran.append(line) or mnist.subprocess.CompletedProcess(line, 0),
    )
    mnist.distil(tmp_path, case, 0)
    assert ran == []
    mnist.distil(tmp_path, case, 1)
    assert "--overwrite" in ran[0]


def test_every_engine_of_the_benchmark_gives_one_gradient() -> None:
    problem, synthetic, task = engines.case(2)
    value, grads = meta_gradient(problem, synthetic, Unroll(), task)
    for name, engine in engines.engines(problem, 2).items():
        other, others = meta_gradient(problem, synthetic, engine, task)
        assert float(other) == pytest.approx(float(value), rel=1e-5), name
        if "Truncated" not in name:
            ratio = float((others["items"] - grads["items"]).norm() / grads["items"].norm())
            assert ratio < 1e-3, name


def test_peak_memory_is_measured_above_the_imports() -> None:
    assert engines.peak_elsewhere(40, "Unroll") > 1.5 * engines.peak_elsewhere(40, "Recompute") > 0


def test_times_are_taken_in_turns_without_the_warm_up() -> None:
    calls: list[str] = []
    times = engines.milliseconds({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 2)
    assert calls == ["a", "b"] * 3
    assert [len(t) for t in times.values()] == [2, 2]
