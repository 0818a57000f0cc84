"""The benchmarks' own arithmetic, and that a stopped one goes on."""

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from benchmarks import anytime, cases, engines, images, mnist, standard, standard_sets, text
from distill.inner.engines.unroll import Unroll
from distill.methods.unroll import meta_gradient
from distill.sets.distilled import DistilledSet
from tests.helpers import digit_set, small_set, write_npz


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
    by_adam = {"mean": 0.71, "std": 0.02, "n": 5}
    students = {"accuracy": by_adam, "steps_on": by_adam | {"mean": 0.705, "steps": text.STEPS_ON}}
    (path / "adam.json").write_text(json.dumps(students))
    row = text.row(tmp_path, case)
    assert row["share"] == pytest.approx(0.9)
    cells = "72.0 ± 1.0 % | 71.0 ± 2.0 % | 70.5 ± 2.0 % | 80.0 % | 90.0 % | 60.0 ± 10.0 % | 60.0 ± 10.0 %"
    assert f"| {cells} | 181 |" in text.table([row])
    older = {name: value for name, value in row.items() if name not in ("adam", "steps_on")}
    assert "| 72.0 ± 1.0 % | - | - | 80.0 %" in text.table([older])
    assert cases.find_data(cases.Case("a", ("--n", "2", "--data-dir", "d", "--x"))) == ("--data-dir", "d")
    assert cases.find_data(case) == ()


def test_students_by_adam_train_on_the_set_of_a_row_and_two_thousand_steps_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[list[str]] = []

    def run(line: list[str], **options: object) -> SimpleNamespace:
        lines.append(line)
        return SimpleNamespace(stdout='{"accuracy": {"mean": 0.7}, "steps_on": {"mean": 0.6}}\n')

    monkeypatch.setattr(cases.subprocess, "run", run)
    students = cases.measure_students(
        tmp_path / "set.pt", "adam", text.student_options(("--vectors", "v"), 3)
    )
    assert students["steps_on"] == {"mean": 0.6}
    options = ["--protocol", "adam", "--steps-on", "2000", "--seeds", "3", "--vectors", "v"]
    assert lines[0][4:12] == [str(tmp_path / "set.pt"), *options[:7]]
    assert lines[0][12] == "v"


def test_image_sets_are_named_files_or_folders(tmp_path: Path) -> None:
    assert {c.name.split(",")[0] for c in images.cases(None)} == {"mnist"}
    (tmp_path / "cifar10.npz").touch()
    (tmp_path / "fashion-mnist").mkdir()
    arguments = {c.name: c.arguments for c in images.cases(tmp_path)}
    assert str(tmp_path / "cifar10.npz") in arguments["cifar10, n = 10"]
    assert str(tmp_path) in arguments["fashion-mnist, n = 10"]


def test_missing_sets_are_skipped(tmp_path: Path) -> None:
    (tmp_path / "trec").mkdir()
    assert [c.name for c in text.cases(None, None)] == [
        "sentences, n = 2, random", "sentences, n = 2, random, by adam", "sentences, n = 2, random, by ridge",
        "sentences, n = 2, random, by rcig",
    ]  # fmt: skip
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


@pytest.fixture
def double() -> Iterator[None]:
    """Noise of one seed in double precision: rounding else decides between near maxima of a pooling."""
    torch.set_default_dtype(torch.float64)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        yield
    torch.set_default_dtype(torch.float32)


@pytest.mark.usefixtures("double")
def test_every_engine_of_the_benchmark_gives_one_gradient() -> None:
    problem, synthetic, task = engines.make_case(2)
    task = task._replace(state=tuple(t.double() for t in task.state))
    value, grads = meta_gradient(problem, synthetic, Unroll(), task)
    for name, (learner, engine) in engines.engines(problem, 2).items():
        engine_value, engine_grads = meta_gradient(learner, synthetic, engine, task)
        assert float(engine_value) == pytest.approx(float(value), rel=1e-5), name
        if "Truncated" not in name:
            ratio = float((engine_grads["items"] - grads["items"]).norm() / grads["items"].norm())
            assert ratio < 1e-3, name


def test_peak_memory_is_measured_above_the_imports() -> None:
    assert (
        engines.measure_peak_in_process(200, "Unroll")
        > 1.5 * engines.measure_peak_in_process(200, "Recompute")
        > 0
    )


def test_times_alternate_between_engines_and_exclude_the_warm_up() -> None:
    calls: list[str] = []
    times = engines.time_runs({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, 2)
    assert calls == ["a", "b"] * 3
    assert [len(t) for t in times.values()] == [2, 2]


@pytest.fixture
def blob_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A set of the blobs of an .npz file beside it; results go there too."""
    monkeypatch.setattr(standard.machine, "RESULTS", tmp_path)
    write_npz(tmp_path / "blobs.npz", train=60, test=30)
    path = tmp_path / "blobs-3.pt"
    small_set().save(path)
    standard_sets.load_splits.cache_clear()
    return path


def run_standard(path: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> list[dict]:
    """The rows after a run of the benchmark as a user runs it."""
    arguments = [str(path), "--data-dir", str(path.parent), "--seeds", "2", *options]
    monkeypatch.setattr(sys, "argv", ["standard", *arguments])
    standard.main()
    return standard.read_rows("standard")


CELLS = ("--protocols", "recipe", "ordinary:epochs=2", "--networks", "own", "convnet-batch:width=4")


def test_every_cell_is_measured_once_and_again_where_the_set_changes(
    blob_set: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = run_standard(blob_set, monkeypatch, *CELLS)
    assert len(rows) == 2 * 2 + 2 * 2  # the set by both protocols, means and random real items by one
    assert all(row["n"] == 2 == len(row["scores"]) and row["version"] for row in rows)
    assert {r["settings"]["epochs"] for r in rows if r["protocol"].startswith("ordinary")} == {2}
    table = (blob_set.parent / "standard.md").read_text()
    assert table.startswith("| items | protocol | ")
    assert len(table.splitlines()) == 2 + 4
    capsys.readouterr()
    assert run_standard(blob_set, monkeypatch, *CELLS) == rows
    assert "1 of 8" not in capsys.readouterr().out
    small_set(lrs=torch.full((4,), 0.01)).save(blob_set)
    assert len(run_standard(blob_set, monkeypatch, *CELLS)) == len(rows) + 4


def test_scores_are_kept_in_the_file_with_their_baselines(
    blob_set: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = ("--protocols", "dc:epochs=2", "--networks", "mlp", "--baselines", "means")
    rows = run_standard(blob_set, monkeypatch, *cell, "--save")
    entry = DistilledSet.load(blob_set).scores["protocols"]["dc"]
    means = {row["items"]: row["mean"] for row in rows}
    assert entry["mean"] == means[blob_set.stem]
    assert entry["baselines"]["k-means"]["mean"] == means["means, 3 of blobs.npz"]
    assert (entry["strongest"], entry["n"], entry["network"]) == ("k-means", 2, "mlp")
    later = ("--protocols", "dc:epochs=1", *cell[2:])  # the same word, other settings
    assert run_standard(blob_set, monkeypatch, *later)[-1]["mean"] != means[blob_set.stem]
    run_standard(blob_set, monkeypatch, *cell, "--save")
    assert DistilledSet.load(blob_set).scores["protocols"]["dc"]["mean"] == means[blob_set.stem]


def test_random_items_and_weights_are_new_for_each_student_and_means_are_those_of_all_items(
    blob_set: Path,
) -> None:
    _, means, random = standard_sets.list_items([blob_set], ["means", "random"], blob_set.parent)
    draws = [random.draw(seed) for seed in (0, 1, 0)]
    assert not torch.equal(draws[0].items, draws[1].items)
    assert torch.equal(draws[0].items, draws[2].items)
    train = standard_sets.fit_to_set(standard_sets.load_splits("blobs.npz", blob_set.parent)[0], random.data)
    for item, label in zip(means.data.items, means.data.labels.argmax(dim=1), strict=True):
        torch.testing.assert_close(item, train.batch(train.class_indices(int(label)))[0].mean(dim=0))
    assert sorted(means.data.labels.argmax(dim=1).tolist()) == [0, 1, 2]


def test_a_word_may_have_settings() -> None:
    assert standard.split_settings("dc:epochs=3,augment=False,lr=0.1,labels=hard") == (
        "dc", {"epochs": 3, "augment": False, "lr": 0.1, "labels": "hard"},
    )  # fmt: skip
    assert standard.choose_network("convnet", digit_set())[0][0].padding == (3, 3)
    assert standard.choose_network("convnet:padding=1", digit_set())[0][0].padding == (1, 1)
    described = standard.describe_protocol(standard.build_protocol("ordinary"), digit_set())
    assert described == {"optimiser": "Adam(lr=0.001)", "epochs": 100, "batch": 10, "labels": "auto"}


@pytest.mark.parametrize(
    ("protocol", "sentence"),
    [("ordinary:epoch=3", "cannot be built"), ("ordinary:epochs", "has a setting without a value")],
)
def test_a_wrong_setting_is_refused_before_anything_is_trained(
    protocol: str, sentence: str, blob_set: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    with pytest.raises(SystemExit):
        run_standard(blob_set, monkeypatch, "--protocols", protocol)
    assert sentence in capsys.readouterr().err
    assert standard.read_rows("standard") == []


def test_a_refused_cell_is_said_and_the_others_are_measured(
    blob_set: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = run_standard(blob_set, monkeypatch, "--networks", "vgg11", "mlp", "--protocols", "recipe")
    assert [row["network"] for row in rows] == ["mlp"]
    assert '1×8×8 is too small for the network "vgg11"' in capsys.readouterr().err


def test_the_cheapest_cell_comes_first(blob_set: Path) -> None:
    options = argparse.Namespace(protocols=["dc", "recipe"], networks=["resnet18", "lenet", "mlp"], seeds=1)
    cells = standard.list_cells(standard_sets.list_items([blob_set], [], None), options)
    order = [(cell.protocol, cell.network) for cell in cells]
    assert (order[0], order[-1]) == (("recipe", "mlp"), ("dc", "resnet18"))


def test_the_table_has_the_mean_and_the_worst_of_whole_rows() -> None:
    row = {"data": "mnist", "size": 10, "protocol": "dc", "std": 0.01, "n": 5}
    rows = [
        {**row, "items": "set", "network": "convnet", "mean": 0.5},
        {**row, "items": "set", "network": "mlp", "mean": 0.7},
        {**row, "items": "random", "network": "mlp", "mean": 0.6},
        {**row, "items": "set", "network": "mlp", "mean": 0.8},
    ]
    assert standard.table(rows).splitlines()[2:] == [
        "| random | dc | - | 60.0 ± 1.0 % | - | - |",
        "| set | dc | 50.0 ± 1.0 % | 80.0 ± 1.0 % | 65.0 | 50.0 |",
    ]


def test_a_curve_of_the_first_minute_never_falls_and_says_when_it_is_over(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    records = [{"seconds": 9.0, "validation": 0.7}, {"seconds": 9.5}, {"seconds": 20.0, "validation": 0.5}]
    log.write_text("".join(json.dumps(r) + "\n" for r in records) + '{"seconds": 30.0, "valid')
    curve = anytime.read_curve(log)
    assert curve == [(9.0, 0.7), (20.0, 0.7)]
    assert anytime.read_curve(tmp_path / "missing") == []
    assert not anytime.is_over(curve, 5, 60)
    assert anytime.is_over([*curve, (61.0, 0.92)], 5, 100)
    assert anytime.is_over([*curve, (60.0, 0.92)], 10, 60)
    assert not anytime.is_over([*curve, (60.0, 0.92)], 10, 100)


def test_the_first_minute_is_summed_up_by_medians() -> None:
    curves = [[(5.0, 0.5), (40.0, 0.92)], [(8.0, 0.6), (30.0, 0.95)], [(20.0, 0.9)]]
    row = anytime.summarise(5, 60, curves)
    assert row["seconds"] == [40.0, 30.0, None]
    assert row["median_seconds"] == 40.0
    assert row["median_at"] == {"10": 0.5, "30": 0.9, "60": 0.92}
    assert "| 5 | 60 | 91.6 % | 40 | 40, 30, - | 50.0 % | 90.0 % | 92.0 % |" in anytime.table([row])
    assert anytime.summarise(5, 60, curves[2:])["median_seconds"] is None
