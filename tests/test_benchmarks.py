"""The benchmarks' own arithmetic, and that a stopped one goes on."""

import argparse
import json
from pathlib import Path

import pytest

from benchmarks import cases, engines, images, mnist, text
from distill.inner.engines.unroll import Unroll
from distill.methods.unroll import meta_gradient
from tests.helpers import small_set


def save_set(root: Path, case: cases.Case, seed: int, mean: float) -> None:
    path = cases.folder(root, case, seed)
    path.mkdir(parents=True)
    scores = {
        "accuracy": {"mean": mean, "std": 0.0, "n": 1},
        "full_data": 0.99,
        "baselines": {"random-real": {"mean": 0.3, "std": 0.1, "n": 20}},
    }
    provenance = {"seconds": 10.0, "outer_steps": 7, "created": "today"}
    provenance["config"] = dict.fromkeys(mnist.SETTINGS, 1)
    small_set(scores=scores, provenance=provenance).save(path / "set.pt")


def test_a_row_is_read_from_the_sets_of_its_seeds(tmp_path: Path) -> None:
    case = cases.Case("n = 5, soft", ("--n", "5"))
    assert mnist.row(tmp_path, case) is None
    for seed, mean in enumerate((0.93, 0.95, 0.94)):
        save_set(tmp_path, case, seed, mean)
    row = mnist.row(tmp_path, case)
    assert row["accuracy"]["mean"] == pytest.approx(0.94)
    assert row["median"] == 0.94
    assert row["seconds"] == [10.0, 10.0, 10.0]
    assert "| n = 5, soft | 94.00 ± 1.00 % | 93.00, 95.00, 94.00 | 30.0 % | 99.0 % | 10 |" in mnist.table(
        [row]
    )


def test_a_row_of_text_is_its_share_of_all_sentences(tmp_path: Path) -> None:
    case = cases.Case("sentences, n = 2, random", (), (0,))
    assert text.row(tmp_path, case) is None
    score = {"mean": 0.6, "std": 0.1, "n": 20}
    scores = {
        "accuracy": {"mean": 0.72, "std": 0.01, "n": 100},
        "full_data": 0.8,
        "baselines": {"random-real": score, "k-means": score},
    }
    path = cases.folder(tmp_path, case, 0)
    path.mkdir()
    provenance = {
        "seconds": 181.0,
        "outer_steps": 7,
        "created": "",
        "config": dict.fromkeys(text.SETTINGS, 1),
    }
    small_set(scores=scores, provenance=provenance).save(path / "set.pt")
    row = text.row(tmp_path, case)
    assert row["share"] == pytest.approx(0.9)
    assert "| 72.0 ± 1.0 % | 80.0 % | 90.0 % | 60.0 ± 10.0 % | 60.0 ± 10.0 % | 181 |" in text.table([row])


def test_image_sets_are_named_files_or_folders(tmp_path: Path) -> None:
    assert {c.name.split(",")[0] for c in images.cases(None)} == {"mnist"}
    (tmp_path / "cifar10.npz").touch()
    (tmp_path / "fashion-mnist").mkdir()
    arguments = {c.name: c.arguments for c in images.cases(tmp_path)}
    assert str(tmp_path / "cifar10.npz") in arguments["cifar10, n = 10"]
    assert str(tmp_path) in arguments["fashion-mnist, n = 10"]


def test_missing_sets_are_skipped(tmp_path: Path) -> None:
    (tmp_path / "trec").mkdir()
    assert [c.name for c in text.cases(None, None)] == ["sentences, n = 2, random"]
    names = {c.name.split(",")[0] for c in text.cases(tmp_path, tmp_path / "v.npz")}
    assert names == {"sentences", "trec"}


def test_a_case_with_a_set_is_not_run_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = cases.Case("n = 5, soft", ("--n", "5"))
    save_set(tmp_path, case, 0, 0.9)
    commands = []
    monkeypatch.setattr(
        cases.subprocess,
        "run",
        lambda line, **_: commands.append(line) or cases.subprocess.CompletedProcess(line, 0),
    )
    cases.distil(tmp_path, case, 0)
    assert commands == []
    cases.distil(tmp_path, case, 1)
    assert "--overwrite" in commands[0]


def test_rows_without_a_new_set_stay_with_their_date(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cases.machine, "RESULTS", tmp_path)
    measured_case, old_case = (cases.Case(f"n = {n}, soft", ("--n", str(n)), (0,)) for n in (5, 10))
    save_set(tmp_path, measured_case, 0, 0.95)
    content = {
        "machine": {"date": "yesterday"},
        "rows": [{"case": c.name} for c in (measured_case, old_case)],
    }
    (tmp_path / "mnist.json").write_text(json.dumps(content))
    options = argparse.Namespace(out=tmp_path, only=None, table=True, jobs=1)
    cases.benchmark("mnist", [measured_case, old_case], options, mnist.row, lambda rows: "a table")
    rows = json.loads((tmp_path / "mnist.json").read_text())["rows"]
    assert [(r["case"], r["created"]) for r in rows] == [
        ("n = 5, soft", "today"),
        ("n = 10, soft", "yesterday"),
    ]


def test_every_engine_of_the_benchmark_gives_one_gradient() -> None:
    problem, synthetic, task = engines.make_case(2)
    value, grads = meta_gradient(problem, synthetic, Unroll(), task)
    for name, (learner, engine) in engines.engines(problem, 2).items():
        engine_value, engine_grads = meta_gradient(learner, synthetic, engine, task)
        assert float(engine_value) == pytest.approx(float(value), rel=1e-5), name
        if "Truncated" not in name:
            ratio = float((engine_grads["items"] - grads["items"]).norm() / grads["items"].norm())
            assert ratio < 1e-3, name


def test_peak_memory_is_measured_above_the_imports() -> None:
    assert (
        engines.measure_peak_in_process(40, "Unroll")
        > 1.5 * engines.measure_peak_in_process(40, "Recompute")
        > 0
    )


def test_times_alternate_between_engines_and_exclude_the_warm_up() -> None:
    calls: list[str] = []
    times = engines.time_runs({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 2)
    assert calls == ["a", "b"] * 3
    assert [len(t) for t in times.values()] == [2, 2]
