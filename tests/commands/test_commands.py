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
from distill.commands.student import main as study
from distill.runs.files.history import read_history
from distill.sets.distilled import DistilledSet
from tests.helpers import command, small_set, write_npz

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
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("place")
    write_npz(root / "blobs.npz", train=600, test=200)
    return root


def words(place: Path, *extra: object) -> list[str]:
    return [*map(str, ["--dataset", place / "blobs.npz", *SMALL, "--n", 2, *extra])]


@pytest.fixture(scope="module")
def done(place: Path) -> tuple[subprocess.CompletedProcess[str], Path]:
    out = place / "run"
    return command(
        "distill.mnist", *words(place, "--outer-steps", 200, "--validate-every", 100, "--out", out, "--json")
    ), out


def test_the_main_job_beats_random_real_images(done: tuple) -> None:
    result, out = done
    assert result.returncode == 0, result.stderr
    facts = json.loads(result.stdout.splitlines()[-1])
    assert facts["accuracy"]["mean"] > facts["baselines"]["random-real"]["mean"] + 0.05
    assert facts["accuracy"]["mean"] > 0.8
    assert facts["path"] == str(out / "set.pt")
    assert facts["seconds"] > 0
    assert {p.name for p in out.iterdir()} == {
        "set.pt", "images.png", "curve.png", "log.jsonl", "config.json", "checkpoint.pt", "report.html",
        "history.pt",
    }  # fmt: skip


def test_tables_go_to_stdout_progress_to_stderr_and_no_control_characters(done: tuple) -> None:
    result, _ = done
    assert "2 random real images" in result.stdout
    assert "step 200/200" in result.stderr
    assert not set(result.stdout + result.stderr) & {"\r", "\x1b"}


def test_the_log_tells_every_step_in_json(done: tuple) -> None:
    log = [json.loads(line) for line in (done[1] / "log.jsonl").read_text().splitlines()]
    assert [r["step"] for r in log] == list(range(1, 201))
    assert [r["step"] for r in log if "validation" in r] == [100, 200]


def test_the_file_carries_its_scores_and_its_command(done: tuple) -> None:
    result, out = done
    data = DistilledSet.load(out / "set.pt")
    facts = json.loads(result.stdout.splitlines()[-1])
    assert data.scores["accuracy"] == facts["accuracy"]
    assert data.scores["accuracy"]["split"] == "test"
    assert data.provenance["command"].startswith("python -m distill.mnist --dataset")
    assert data.provenance["outer_steps"] == 200
    assert data.provenance["peak_mib"] > 50
    assert data.source["test"] == 200


def test_a_student_in_a_new_process_replays_the_score_exactly(done: tuple) -> None:
    result, out = done
    replay = command(
        "distill.student", out / "set.pt", "--dataset", out.parent / "blobs.npz", "--json", "--full-data"
    )
    facts = json.loads(replay.stdout.splitlines()[-1])
    assert facts["accuracy"] == {
        k: json.loads(result.stdout.splitlines()[-1])["accuracy"][k] for k in ("mean", "std", "n")
    }
    assert facts["full_data"] > 0.9


def test_a_run_starts_where_a_saved_set_ended(
    done: tuple, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, again = done[1] / "set.pt", tmp_path / "again"
    assert distil(words(place, "--outer-steps", 1, "--start", first, "--out", again)) == 0
    one, other = DistilledSet.load(first), DistilledSet.load(again / "set.pt")
    for name in ("items", "labels", "lrs"):  # one step of a warm-up of 200
        torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=0, atol=2e-3)
    assert distil(words(place, "--n", 3, "--start", first, "--out", tmp_path / "three")) == 2
    error = capsys.readouterr().err
    assert f"--start {first} holds items (2, 1, 8, 8) of the classes " in error
    assert "; this run learns items (3, 1, 8, 8)" in error
    assert not (tmp_path / "three").exists()


def test_another_run_is_neither_touched_nor_repeated(
    done: tuple, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (done[1] / "set.pt").read_bytes()
    assert distil(words(place, "--outer-steps", 200, "--out", done[1])) == 2
    assert "holds another run" in capsys.readouterr().err
    assert (done[1] / "set.pt").read_bytes() == before


def test_kill_9_and_resume_end_bit_identical_to_never_stopping(done: tuple, place: Path) -> None:
    out = place / "killed"
    line = [
        sys.executable,
        "-m",
        "distill.mnist",
        *words(place, "--outer-steps", 200, "--validate-every", 100, "--out", out),
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
    ours, theirs = DistilledSet.load(out / "set.pt"), DistilledSet.load(done[1] / "set.pt")
    for name in ("items", "labels", "lrs", "schedule"):
        assert torch.equal(getattr(ours, name), getattr(theirs, name))
    assert ours.scores == theirs.scores
    snapshots, others = read_history(out), read_history(done[1])
    assert [snapshot.step for snapshot in snapshots] == [0, 8, 16, 32, 64, 128]
    for snapshot, other in zip(snapshots, others, strict=True):
        assert torch.equal(snapshot.items, other.items)
        assert torch.equal(snapshot.labels, other.labels)
    steps = [json.loads(line)["step"] for line in (out / "log.jsonl").read_text().splitlines()]
    assert steps == list(range(1, 201))


@pytest.mark.parametrize(
    "extra",
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
def test_every_word_of_the_command_line_runs_and_learns(
    place: Path, tmp_path: Path, extra: list[str]
) -> None:
    out = tmp_path / "run"
    assert distil(words(place, "--outer-steps", 60, "--validate-every", 30, "--out", out, *extra)) == 0
    data = DistilledSet.load(out / "set.pt")
    log = [json.loads(line)["loss"] for line in (out / "log.jsonl").read_text().splitlines()]
    assert median(log[-20:]) < median(log[:20])  # a loss leaps now and then: two items, a bold rate
    assert data.scores["accuracy"]["n"] == (
        20 if "random" in extra else 3 if "--fixed-networks" in extra else 1
    )


def test_a_run_by_minutes_stops_there_and_keeps_the_best_that_it_saw(place: Path, tmp_path: Path) -> None:
    """Any number of steps fits in three seconds, and at last the loss may leap: only the export is judged."""
    out = tmp_path / "run"
    assert distil(words(place, "--minutes", "0.05", "--validate-every", 10, "--out", out)) == 0
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
    "--ridge is an option of --method frepo; this run has --method dm": [
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
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], sentence: str
) -> None:
    assert distil(words(place, "--out", tmp_path / "run", *BAD[sentence])) == 2
    said = capsys.readouterr()
    assert sentence in said.err
    assert said.err.startswith("distill: ")
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert not (tmp_path / "run").exists()


def test_a_checkpoint_of_another_config_is_refused(
    done: tuple, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import shutil

    copy = place / "mixed"
    shutil.copytree(done[1], copy)
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
    place: Path, capsys: pytest.CaptureFixture[str], sentence: str
) -> None:
    small_set().save(place / "good.pt")
    (place / "cut.pt").write_bytes((place / "good.pt").read_bytes()[:900])
    torch.save({"w": torch.ones(1)}, place / "foreign.pt")
    file, *extra = STUDENT_BAD[sentence]
    data = [] if "--dataset" in extra else ["--dataset", str(place / "blobs.npz")]
    assert study([str(place / file), *data, *extra]) == 2
    said = capsys.readouterr()
    assert sentence in said.err
    assert said.err.count("\n") == 1


def test_a_student_trains_the_ordinary_way_and_saves_its_weights(
    done: tuple, place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = [str(done[1] / "set.pt"), "--dataset", str(place / "blobs.npz"), "--seeds", "2", "--json"]
    more = [
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
    assert study(line + more) == 0
    facts = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert facts["accuracy"]["n"] == 2
    weights = torch.load(tmp_path / "w.pt", weights_only=True)
    assert weights["1.weight"].shape == (16, 64)


@pytest.mark.parametrize("module", ["distill", "distill.mnist", "distill.student"])
def test_help_answers_in_half_a_second(module: str) -> None:
    def seconds() -> float:
        began = time.perf_counter()
        result = command(module, "--help")
        assert result.returncode == 0
        assert "usage" in result.stdout
        return time.perf_counter() - began

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


def test_verbs_are_listed_and_a_misspelt_one_gets_the_nearest() -> None:
    assert "student" in command("distill", "--help").stdout
    wrong = command("distill", "studnet", "x")
    assert wrong.returncode == 2
    assert 'did you mean "student"' in wrong.stderr
