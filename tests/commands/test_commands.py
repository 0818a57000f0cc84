"""Command lines as a user runs them: in processes of their own, on a small data set of the test's."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

import pytest
import torch

from distill.commands.image import main as distil
from distill.commands.student import main as measure_student
from distill.runs.files.history import read_history
from distill.sets.distilled import DistilledSet
from tests.helpers import read_json_line, run_module, small_set, write_npz

SMALL = [
    "--network",
    "mlp",
    "--width",
    "16",
    "--inner-steps",
    "5",
    "--lr",
    "0.1",
    "--outer-batch",
    "64",
    "--held-out",
    "50",
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("place")
    write_npz(root / "blobs.npz", train=600, test=200)
    return root


def list_arguments(folder: Path, *options: object) -> list[str]:
    return [*map(str, ["--dataset", folder / "blobs.npz", *SMALL, "--n", 2, *options])]


@pytest.fixture(scope="module")
def finished_run(folder: Path) -> tuple[subprocess.CompletedProcess[str], Path]:
    out = folder / "run"
    return run_module(
        "distill.mnist",
        *list_arguments(folder, "--outer-steps", 200, "--validate-every", 100, "--out", out, "--json"),
    ), out


def test_the_main_job_beats_random_real_images(finished_run: tuple) -> None:
    result, out = finished_run
    assert result.returncode == 0, result.stderr
    scores = read_json_line(result.stdout)
    assert scores["accuracy"]["mean"] > scores["baselines"]["random-real"]["mean"] + 0.05
    assert scores["accuracy"]["mean"] > 0.8
    assert scores["path"] == str(out / "set.pt")
    assert scores["seconds"] > 0
    assert {p.name for p in out.iterdir()} == {
        "set.pt", "images.png", "curve.png", "log.jsonl", "config.json", "checkpoint.pt", "report.html",
        "history.pt",
    }  # fmt: skip


def test_tables_go_to_stdout_progress_to_stderr_and_no_control_characters(finished_run: tuple) -> None:
    result, _ = finished_run
    assert "2 random real images" in result.stdout
    assert "step 200/200" in result.stderr
    assert not set(result.stdout + result.stderr) & {"\r", "\x1b"}


def test_the_log_holds_every_step_in_json(finished_run: tuple) -> None:
    log = [json.loads(line) for line in (finished_run[1] / "log.jsonl").read_text().splitlines()]
    assert [r["step"] for r in log] == list(range(1, 201))
    assert [r["step"] for r in log if "validation" in r] == [100, 200]


def test_the_file_carries_its_scores_and_its_command(finished_run: tuple) -> None:
    result, out = finished_run
    data = DistilledSet.load(out / "set.pt")
    scores = read_json_line(result.stdout)
    assert data.scores["accuracy"] == scores["accuracy"]
    assert data.scores["accuracy"]["split"] == "test"
    assert data.provenance["command"].startswith("python -m distill.mnist --dataset")
    assert data.provenance["outer_steps"] == 200
    assert data.provenance["peak_mib"] > 50
    assert data.source["test"] == 200


def test_a_student_in_a_new_process_replays_the_score_exactly(finished_run: tuple) -> None:
    result, out = finished_run
    replay = run_module(
        "distill.student", out / "set.pt", "--dataset", out.parent / "blobs.npz", "--json", "--full-data"
    )
    student_scores = read_json_line(replay.stdout)
    assert student_scores["accuracy"] == {
        k: read_json_line(result.stdout)["accuracy"][k] for k in ("mean", "std", "n")
    }
    assert student_scores["full_data"] > 0.9


def test_a_run_can_start_from_a_saved_set(
    finished_run: tuple, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, out = finished_run[1] / "set.pt", tmp_path / "again"
    assert distil(list_arguments(folder, "--outer-steps", 1, "--start", first, "--out", out)) == 0
    start_set, second_set = DistilledSet.load(first), DistilledSet.load(out / "set.pt")
    for name in ("items", "labels", "lrs"):  # one step of a warm-up of 200
        torch.testing.assert_close(getattr(start_set, name), getattr(second_set, name), rtol=0, atol=2e-3)
    assert distil(list_arguments(folder, "--n", 3, "--start", first, "--out", tmp_path / "three")) == 2
    error = capsys.readouterr().err
    assert f"--start {first} holds items (2, 1, 8, 8); this run learns items (3, 1, 8, 8)" in error
    assert not (tmp_path / "three").exists()


def test_the_folder_of_another_run_is_left_unchanged(
    finished_run: tuple, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (finished_run[1] / "set.pt").read_bytes()
    assert distil(list_arguments(folder, "--outer-steps", 200, "--out", finished_run[1])) == 2
    assert "holds another run" in capsys.readouterr().err
    assert (finished_run[1] / "set.pt").read_bytes() == before


def test_a_killed_and_resumed_run_is_bit_identical_to_an_uninterrupted_one(
    finished_run: tuple, folder: Path
) -> None:
    out = folder / "killed"
    line = [
        sys.executable,
        "-m",
        "distill.mnist",
        *list_arguments(folder, "--outer-steps", 200, "--validate-every", 100, "--out", out),
    ]
    process = subprocess.Popen(
        line, env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}, stderr=subprocess.DEVNULL
    )
    deadline = time.time() + 120
    while not (out / "checkpoint.pt").exists() and time.time() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (out / "set.pt").exists()
    assert distil(["--resume", str(out)]) == 0
    resumed, uninterrupted = DistilledSet.load(out / "set.pt"), DistilledSet.load(finished_run[1] / "set.pt")
    for name in ("items", "labels", "lrs", "schedule"):
        assert torch.equal(getattr(resumed, name), getattr(uninterrupted, name))
    assert resumed.scores == uninterrupted.scores
    snapshots, expected_snapshots = read_history(out), read_history(finished_run[1])
    assert [snapshot.step for snapshot in snapshots] == [0, 8, 16, 32, 64, 128]
    for snapshot, expected in zip(snapshots, expected_snapshots, strict=True):
        assert torch.equal(snapshot.items, expected.items)
        assert torch.equal(snapshot.labels, expected.labels)
    steps = [json.loads(line)["step"] for line in (out / "log.jsonl").read_text().splitlines()]
    assert steps == list(range(1, 201))


@pytest.mark.parametrize(
    "options",
    [
        ["--labels", "hard", "--engine", "recompute", "--n", "3"],
        ["--labels", "softmax", "--engine", "higher", "--rule", "momentum", "--lr-per", "step"],
        [
            "--init",
            "random",
            "--rule",
            "sgd",
            "--engine",
            "truncated",
            "--window",
            "3",
            "--grow-over",
            "30",
            "--n",
            "3",
        ],
        ["--init", "random", "--rule", "adam", "--start", "noise", "--n", "4", "--batch", "2"],
        ["--fixed-networks", "3"],
        ["--method", "frepo", "--init", "random", "--rule", "adam", "--n", "3", "--start", "noise"],
    ],
)
def test_every_choice_of_the_command_line_runs_and_learns(
    folder: Path, tmp_path: Path, options: list[str]
) -> None:
    out = tmp_path / "run"
    assert (
        distil(list_arguments(folder, "--outer-steps", 60, "--validate-every", 30, "--out", out, *options))
        == 0
    )
    data = DistilledSet.load(out / "set.pt")
    log = [json.loads(line)["loss"] for line in (out / "log.jsonl").read_text().splitlines()]
    assert median(log[-20:]) < median(log[:20])  # a loss leaps now and then: two items, a bold rate
    assert data.scores["accuracy"]["n"] == (
        20 if "random" in options else 3 if "--fixed-networks" in options else 1
    )


def test_a_run_limited_by_minutes_stops_in_time_and_exports_its_best_set(
    folder: Path, tmp_path: Path
) -> None:
    """Any number of steps fits in three seconds, and at last the loss may leap: only the export is judged."""
    out = tmp_path / "run"
    assert distil(list_arguments(folder, "--minutes", "0.05", "--validate-every", 10, "--out", out)) == 0
    assert json.loads((out / "log.jsonl").read_text().splitlines()[-1])["seconds"] < 30
    assert DistilledSet.load(out / "set.pt").scores["accuracy"]["mean"] > 0.6


BAD = {
    "--n must be above 0, not 0": ["--n", "0"],
    'no network called "lenett"; did you mean "lenet"': ["--network", "lenett"],
    'no engine called "unrol"; did you mean "unroll"': ["--engine", "unrol"],
    "--grow-over is an option of --engine truncated; this run has --engine unroll": ["--grow-over", "30"],
    'no rule called "adm"; did you mean "adam"': ["--rule", "adm"],
    'no method called "freppo"; did you mean "frepo"': ["--method", "freppo"],
    "--method dm compares class by class: --n 1 is below": ["--method", "dm", "--n", "1"],
    "--batch 4 does not divide --n 5": ["--n", "5", "--batch", "4"],
    "--ipc 2 means 6 items of 3 classes: leave out --n 5": ["--n", "5", "--ipc", "2"],
    "--ridge is an option of --method frepo and rcig; this run has --method dm": [
        "--method",
        "dm",
        "--n",
        "3",
        "--ridge",
        "1e-3",
    ],
    "--window is for methods that unroll": ["--method", "dm", "--n", "3", "--window", "3"],
    "none.npz: no such file": ["--dataset", "/nowhere/none.npz"],
    "no fashion-mnist in /nowhere: expected": ["--dataset", "fashion-mnist", "--data-dir", "/nowhere"],
    'no device "cuda:42" on this machine': ["--device", "cuda:42"],
    "cannot be written": ["--out", "/proc/nowhere"],
    "is too small for the network": ["--network", "convnet", "--depth", "6", "--width", "8"],
    'the network "lenet" has no width': ["--network", "lenet"],
    "is not a run: it has no config.json": ["--resume", "/nowhere"],
}


@pytest.mark.parametrize("sentence", BAD)
def test_bad_input_is_one_sentence_and_code_2(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], sentence: str
) -> None:
    assert distil(list_arguments(folder, "--out", tmp_path / "run", *BAD[sentence])) == 2
    output = capsys.readouterr()
    assert sentence in output.err
    assert output.err.startswith("distill: ")
    assert output.err.count("\n") == 1
    assert output.out == ""
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_of_another_config_is_refused(
    finished_run: tuple, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    copy = folder / "mixed"
    shutil.copytree(finished_run[1], copy)
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"seed": 9}))
    assert distil(["--resume", str(copy)]) == 2
    assert "belongs to another run (it differs in seed)" in capsys.readouterr().err


STUDENT_BAD = {
    "no such file": ["none.pt"],
    "truncated, damaged": ["cut.pt"],
    "is a foreign file": ["foreign.pt"],
    'no network called "mpl"; did you mean "mlp"': ["good.pt", "--network", "mpl"],
    'no init called "fix"; did you mean "fixed"': ["good.pt", "--init", "fix"],
    'no optimiser in torch.optim called "Adm"; did you mean "Adam"': ["good.pt", "--optimizer", "Adm"],
    "--seeds must be above 0": ["good.pt", "--seeds", "0"],
    "carries no weights": ["good.pt", "--init", "fixed"],
    "the set holds items (1, 8, 8) of 3 classes": ["good.pt", "--dataset", "mnist"],
    "cannot be written": ["good.pt", "--save", "/proc/w.pt"],
}


@pytest.mark.parametrize("sentence", STUDENT_BAD)
def test_bad_input_to_the_student_is_one_sentence_and_code_2(
    folder: Path, capsys: pytest.CaptureFixture[str], sentence: str
) -> None:
    source = {"name": "blobs.npz", "classes": ["0", "1", "2"], "mean": [0.3], "std": [0.2]}
    small_set(source=source).save(folder / "good.pt")
    (folder / "cut.pt").write_bytes((folder / "good.pt").read_bytes()[:900])
    torch.save({"w": torch.ones(1)}, folder / "foreign.pt")
    file, *options = STUDENT_BAD[sentence]
    data = [] if "--dataset" in options else ["--dataset", str(folder / "blobs.npz")]
    assert measure_student([str(folder / file), *data, *options]) == 2
    output = capsys.readouterr()
    assert sentence in output.err
    assert output.err.count("\n") == 1


def test_a_student_trains_the_ordinary_way_and_saves_its_weights(
    finished_run: tuple, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [
        str(finished_run[1] / "set.pt"),
        "--dataset",
        str(folder / "blobs.npz"),
        "--seeds",
        "2",
        "--json",
    ]
    options = [
        "--init",
        "random",
        "--optimizer",
        "Adam",
        "--epochs",
        "20",
        "--batch-size",
        "1",
        "--save",
        str(tmp_path / "w.pt"),
    ]
    assert measure_student(arguments + options) == 0
    scores = read_json_line(capsys.readouterr().out)
    assert scores["accuracy"]["n"] == 2
    saved = torch.load(tmp_path / "w.pt", weights_only=True)
    assert saved["state"]["1.weight"].shape == (16, 64)
    assert saved["classes"] == DistilledSet.load(arguments[0]).source["classes"]


def test_steps_on_measure_the_same_students_after_more_steps(
    finished_run: tuple, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(finished_run[1] / "set.pt"), "--dataset", str(folder / "blobs.npz"), "--json"]
    adam = [*arguments, "--init", "random", "--seeds", "2", "--protocol", "adam", "--steps", "5"]
    assert measure_student([*adam, "--steps-on", "7"]) == 0
    longer = read_json_line(capsys.readouterr().out)
    assert longer["steps_on"]["steps"] == 7
    assert longer["steps_on"]["n"] == 2
    assert measure_student(adam) == 0
    plain = read_json_line(capsys.readouterr().out)
    assert plain["accuracy"] == longer["accuracy"]
    assert "steps_on" not in plain


@pytest.mark.parametrize("module", ["distill", "distill.mnist", "distill.student"])
def test_help_answers_in_half_a_second(module: str) -> None:
    def seconds() -> float:
        start = time.perf_counter()
        result = run_module(module, "--help")
        assert result.returncode == 0
        assert "usage" in result.stdout
        return time.perf_counter() - start

    assert min(seconds() for _ in range(5)) < 0.5


@pytest.mark.parametrize("choice", [["--method", "frepo"], ["--method=frepo"]])
def test_help_shows_the_options_of_the_chosen_method(
    choice: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments in ([*choice, "--help"], ["--help", *choice]):
        with pytest.raises(SystemExit) as end:
            distil(arguments)
        assert end.value.code == 0
        assert "--ridge" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        distil(["--help"])
    assert "--ridge" not in capsys.readouterr().out


def test_verbs_are_listed_and_a_misspelt_one_gets_a_suggestion() -> None:
    assert "student" in run_module("distill", "--help").stdout
    result = run_module("distill", "studnet", "x")
    assert result.returncode == 2
    assert 'did you mean "student"' in result.stderr
