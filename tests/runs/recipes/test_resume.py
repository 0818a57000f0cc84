"""A recipe's run in a folder: stopped anywhere it goes on to the same files, and nothing else is believed."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distill.commands.report import main as report
from distill.commands.teach import main as teach
from distill.runs.files.folder import lock_folder
from distill.runs.recipes import job
from distill.runs.recipes.job import Keeper
from distill.sets.storage import read_tensors
from tests.recipes import CE, NET, build_raw_recipe, kd, write_recipe

NETWORKS = {"teacher": {**NET, "width": 8}, "student": NET}
STAGES = [
    {"turns": {"teacher": [CE]}, "epochs": 2, "keep": 2, "augment": "shift-scale-rotate"},
    {"turns": {"student": kd("teacher"), "teacher": [CE]}, "epochs": 2, "mixup": 0.3},
]
LAST = 20  # batches of all stages


@pytest.fixture
def recipe(tmp_path: Path) -> str:
    raw_recipe = build_raw_recipe(tmp_path, NETWORKS, STAGES, train=160, validation=0.1)
    return str(write_recipe(tmp_path, raw_recipe))


def stop_at(batch: int, monkeypatch: pytest.MonkeyPatch, how: Any) -> None:
    """Do something after so many batches of a run, before it looks whether a checkpoint is due."""
    count, is_due = 0, Keeper.is_due

    def stop(keeper: Keeper, progress: Any) -> bool:
        nonlocal count
        count += 1
        if count == batch:
            how()
        return is_due(keeper, progress)

    monkeypatch.setattr(Keeper, "is_due", stop)


def press_ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def kill() -> None:
    """As a kill of the process: no checkpoint is written any more."""
    raise SystemExit


def read_records(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "log.jsonl").read_text().splitlines()
    return [{key: value for key, value in json.loads(line).items() if key != "seconds"} for line in lines]


def same_runs(first: Path, second: Path) -> bool:
    """Whether two folders hold the same bits of weights, the same log, predictions and scores."""
    files = [sorted(path.name for path in folder.iterdir()) for folder in (first, second)]
    states = [
        [torch.load(f / f"{n}.pt", weights_only=True)["state"] for n in NETWORKS] for f in (first, second)
    ]
    weights = all(torch.equal(a[k], b[k]) for a, b in zip(*states, strict=True) for k in a)
    scores = [json.loads((f / "scores.json").read_text())["networks"] for f in (first, second)]
    predictions = [np.load(f / "predictions.npz")["predictions"] for f in (first, second)]
    records = read_records(first) == read_records(second)
    return files[0] == files[1] and weights and records and scores[0] == scores[1] and (
        predictions[0].tobytes() == predictions[1].tobytes()
    )  # fmt: skip


@pytest.fixture
def whole(recipe: str, tmp_path: Path) -> Path:
    assert teach([recipe, "--out", str(tmp_path / "whole")]) == 0
    return tmp_path / "whole"


@pytest.fixture(autouse=True)
def handled_interrupts() -> Iterator[None]:
    """Ctrl-C raises, also where the tests run in the background of a shell, which ignores it there."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("batch", [1, 7, 10, 13, LAST])
def test_ctrl_c_saves_and_the_run_goes_on_to_the_same_files(
    batch: int, recipe: str, whole: Path, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    out = tmp_path / "stopped"
    with monkeypatch.context() as patch:
        stop_at(batch, patch, press_ctrl_c)
        assert teach([recipe, "--out", str(out)]) == 130
    line = capsys.readouterr().err.splitlines()[-1]
    if batch < LAST:
        assert line.startswith("distill: stopped at ")
    assert line.endswith("the same command with --resume goes on")
    assert not (out / "scores.json").exists()
    assert teach([recipe, "--out", str(out), "--resume"]) == 0
    assert same_runs(whole, out)


@pytest.mark.parametrize("batch", [3, 14])
def test_a_killed_run_goes_on_from_its_last_checkpoint(
    batch: int, recipe: str, whole: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    """Checkpoints come at the end of a stage: after a kill some batches, and their log, come twice."""
    out = tmp_path / "killed"
    with monkeypatch.context() as patch:
        stop_at(batch, patch, kill)
        with pytest.raises(SystemExit):
            teach([recipe, "--out", str(out)])
    (out / ".scores.json.1.part").write_text("half")
    with open(out / "log.jsonl", "a") as file:
        file.write('{"stage": 0, "netw')
    assert teach([recipe, "--out", str(out), "--resume"]) == 0
    assert same_runs(whole, out)


def test_a_run_that_is_stopped_again_and_again(
    recipe: str, whole: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    out, resume = tmp_path / "often", []
    for batch in (2, 5, 1, 6):
        with monkeypatch.context() as patch:
            stop_at(batch, patch, press_ctrl_c)
            assert teach([recipe, "--out", str(out), *resume]) == 130
        resume = ["--resume"]
    assert teach([recipe, "--out", str(out), "--resume"]) == 0
    assert same_runs(whole, out)


def test_checkpoints_come_by_the_clock_too(recipe: str, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(job, "SAVE_EVERY", 0.0)
    monkeypatch.setattr(job, "SAVE_SHARE", 1e9)
    stop_at(7, monkeypatch, kill)
    with pytest.raises(SystemExit):
        teach([recipe, "--out", str(tmp_path / "run")])
    content = read_tensors(tmp_path / "run" / "run.ckpt", "cpu", "distill-recipe-checkpoint/1")
    assert content["run"]["state"]["step"] == 6


def stop_early(recipe: str, out: Path, monkeypatch: Any) -> None:
    with monkeypatch.context() as patch:
        stop_at(3, patch, press_ctrl_c)
        assert teach([recipe, "--out", str(out)]) == 130


CHANGED = {
    "stages.1.epochs=3": "stages.1.epochs was 2 and is 3",
    "networks.student.width=5": "networks.student.width was 4 and is 5",
    "seed=7": "seed was 0 and is 7",
    "stages.0.lr=0.5": "stages.0.lr was 0.01 and is 0.5",
    "data.train=40": "data.train was 160 and is 40",
    "networks.third.name=mlp": "networks.third.name was not there and is 'mlp'",
}


@pytest.mark.parametrize("change", CHANGED)
def test_a_checkpoint_of_a_recipe_that_has_changed_names_the_key(
    change: str, recipe: str, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    stop_early(recipe, tmp_path / "run", monkeypatch)
    capsys.readouterr()
    assert teach([recipe, "--out", str(tmp_path / "run"), "--resume", "--set", change]) == 2
    error = capsys.readouterr().err
    assert f"run.ckpt is of a recipe that has changed: {CHANGED[change]}; give the same recipe" in error
    assert error.count("\n") == 1


def test_other_data_are_refused(recipe: str, tmp_path: Path, monkeypatch: Any, capsys: Any) -> None:
    stop_early(recipe, tmp_path / "run", monkeypatch)
    arrays = dict(np.load(tmp_path / "blobs.npz"))
    arrays["y_train"] = np.roll(arrays["y_train"], 1)
    np.savez(tmp_path / "blobs.npz", **arrays)
    assert teach([recipe, "--out", str(tmp_path / "run"), "--resume"]) == 2
    assert (
        "was started with other data: the labels of its train items have changed" in capsys.readouterr().err
    )


@pytest.mark.parametrize("change", [lambda _: None, lambda p: p.write_text("x = 1"), Path.unlink])
def test_a_plugin_that_has_changed_during_or_after_a_run_is_named(
    change: Any, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    plugin, text = tmp_path / "mine.py", "def half(student, labels):\n    return student.pow(2).mean() / 2\n"
    plugin.write_text(text)
    raw_recipe = build_raw_recipe(tmp_path, {"a": NET}, [{"turns": {"a": [CE, {"loss": "mine:half"}]}}])
    path = str(write_recipe(tmp_path, raw_recipe | {"plugins": [str(plugin)]}))
    arguments = [path, "--out", str(tmp_path / "run"), "--allow-plugins"]
    with monkeypatch.context() as patch:
        stop_at(2, patch, lambda: (change(plugin), press_ctrl_c()))
        assert teach(arguments) == 130
    plugin.write_text(text.replace("/ 2", "/ 3"))
    assert teach([*arguments, "--resume"]) == 2
    assert f"is of a recipe whose plugin {plugin} has changed since" in capsys.readouterr().err
    plugin.write_text(text)
    assert teach([*arguments, "--resume"]) == 0


DAMAGES = {
    "cut": lambda content: content[: len(content) // 2],
    "flipped": lambda content: content[:5000] + bytes([content[5000] ^ 1]) + content[5001:],
    "empty": lambda content: b"",
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_one_sentence(
    damage: str, recipe: str, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    out = tmp_path / "run"
    stop_early(recipe, out, monkeypatch)
    path = out / "run.ckpt"
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    capsys.readouterr()
    assert teach([recipe, "--out", str(out), "--resume"]) == 2
    error = capsys.readouterr().err
    assert "run.ckpt cannot be read as distill-recipe-checkpoint/1: it is truncated, damaged" in error
    assert error.count("\n") == 1
    assert not (out / "scores.json").exists()


def test_a_checkpoint_without_its_parts_is_one_sentence(
    recipe: str, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    out = tmp_path / "run"
    stop_early(recipe, out, monkeypatch)
    content = read_tensors(out / "run.ckpt", "cpu", "distill-recipe-checkpoint/1")
    parts = content["run"]["state"]["parts"]
    parts["batches"]["order"] = parts["batches"]["order"][:-1]
    for change in ({"run": content["run"]}, {"run": {}}, {"seconds": "x"}, {"data": 3}, {"recipe": {"a": 1}}):
        torch.save({**content, **change}, out / "run.ckpt")
        assert teach([recipe, "--out", str(out), "--resume"]) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert "run.ckpt" in error
        assert "start the run anew with --overwrite" in error


def test_a_run_that_has_not_ended_can_be_looked_at(recipe: str, tmp_path: Path, monkeypatch: Any) -> None:
    with monkeypatch.context() as patch:
        stop_at(7, patch, press_ctrl_c)
        assert teach([recipe, "--out", str(tmp_path / "run")]) == 130
    assert report([str(tmp_path / "run"), "--out", str(tmp_path / "page.html")]) == 0
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "This run has not ended" in page
    assert "Loss of teacher" in page


# Folders


def test_a_folder_in_use_is_refused(recipe: str, tmp_path: Path, capsys: Any, monkeypatch: Any) -> None:
    stop_early(recipe, tmp_path / "run", monkeypatch)
    capsys.readouterr()
    with lock_folder(tmp_path / "run"):
        for option in ("--resume", "--overwrite"):
            assert teach([recipe, "--out", str(tmp_path / "run"), option]) == 2
            assert "is in use by another run: wait for its end, or give --out" in capsys.readouterr().err


def test_a_run_that_has_not_ended_is_neither_replaced_nor_begun_anew_unasked(
    recipe: str, tmp_path: Path, monkeypatch: Any, capsys: Any
) -> None:
    out = tmp_path / "run"
    stop_early(recipe, out, monkeypatch)
    before = (out / "run.ckpt").read_bytes()
    assert teach([recipe, "--out", str(out)]) == 2
    assert (
        "holds a run that has not ended: give --resume to go on with it, --overwrite"
        in capsys.readouterr().err
    )
    assert (out / "run.ckpt").read_bytes() == before
    assert teach([recipe, "--out", str(out), "--overwrite"]) == 0
    assert (out / "scores.json").is_file()
    assert not (out / "run.ckpt").exists()


def test_what_is_nothing_to_go_on_with_is_refused(
    recipe: str, whole: Path, tmp_path: Path, capsys: Any
) -> None:
    cases = {
        "holds a run that has ended: its scores are in scores.json": [str(whole), "--resume"],
        "holds no run to go on with: leave --resume out": [str(tmp_path / "new"), "--resume"],
        "--overwrite has no effect beside --resume": [str(whole), "--resume", "--overwrite"],
    }
    for sentence, options in cases.items():
        assert teach([recipe, "--out", *options]) == 2
        assert sentence in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_the_scores_of_an_older_run_do_not_outlive_the_beginning_of_a_new_one(
    recipe: str, whole: Path, monkeypatch: Any
) -> None:
    stop_at(2, monkeypatch, press_ctrl_c)
    assert teach([recipe, "--out", str(whole), "--overwrite"]) == 130
    assert not {"scores.json", "predictions.npz", "report.html"} & {path.name for path in whole.iterdir()}


def test_a_recipe_that_cannot_run_leaves_an_older_run_as_it_was(
    recipe: str, whole: Path, capsys: Any
) -> None:
    before = {path.name: path.read_bytes() for path in whole.iterdir()}
    assert teach([recipe, "--out", str(whole), "--overwrite", "--set", "stages.0.optimizer=Adm"]) == 2
    assert 'no optimiser called "Adm"' in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in whole.iterdir()} == before


def test_a_checkpoint_of_another_program_is_not_replaced(recipe: str, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "run"
    out.mkdir()
    torch.save({"weights": torch.ones(3)}, out / "run.ckpt")
    before = (out / "run.ckpt").read_bytes()
    assert teach([recipe, "--out", str(out), "--overwrite"]) == 2
    assert "holds run.ckpt, and no scores.json beside it: give another --out" in capsys.readouterr().err
    assert (out / "run.ckpt").read_bytes() == before


def test_a_network_may_be_called_as_a_file_of_the_run(tmp_path: Path) -> None:
    names = ("checkpoint", "run", "log")
    raw_recipe = build_raw_recipe(tmp_path, dict.fromkeys(names, NET), [{"turns": {"run": [CE]}}])
    assert teach([str(write_recipe(tmp_path, raw_recipe)), "--out", str(tmp_path / "out")]) == 0
    assert {f"{name}.pt" for name in names} < {path.name for path in (tmp_path / "out").iterdir()}


def test_files_of_other_programs_stay_in_a_folder_that_runs_use(recipe: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    for name in (".film.mkv.part", ".student.pt.7.part", "notes.txt"):
        (out / name).write_text("mine")
    assert teach([recipe, "--out", str(out)]) == 0
    left = {path.name for path in out.iterdir()}
    assert {".film.mkv.part", "notes.txt"} < left
    assert ".student.pt.7.part" not in left  # as a killed run leaves it


def test_a_network_called_search_is_not_the_search(tmp_path: Path) -> None:
    part = {"loss": "aggregate", "teacher": "teacher", "tap": "0.6", "layers": ["0.4", "0.5", "0.6"]}
    stages = [{"turns": {"search": [CE, part]}, "search": True}]
    raw_recipe = build_raw_recipe(tmp_path, {"teacher": NETWORKS["teacher"], "search": NET}, stages, train=64)
    assert teach([str(write_recipe(tmp_path, raw_recipe)), "--out", str(tmp_path / "out")]) == 0
    assert [record["network"] for record in read_records(tmp_path / "out")] == ["search", "(search)"]


# The log and the predictions


def test_the_log_has_a_line_per_network_and_epoch(whole: Path) -> None:
    records = [json.loads(line) for line in (whole / "log.jsonl").read_text().splitlines()]
    assert [(r["stage"], r["network"], r["epoch"]) for r in records] == [
        (0, "teacher", 1), (0, "teacher", 2),
        (1, "student", 1), (1, "teacher", 1), (1, "student", 2), (1, "teacher", 2),
    ]  # fmt: skip
    assert all(0 <= r["validation"] <= 1 and r["seconds"] > 0 for r in records)
    (alone,), pair = records[0]["losses"], records[2]["losses"]
    assert alone["loss"] == "cross-entropy"
    assert alone["weight"] == 1
    assert alone["value"] == pytest.approx(records[0]["loss"])
    assert [(p["loss"], p.get("teacher"), p["weight"]) for p in pair] == [
        ("cross-entropy", None, pytest.approx(0.1)), ("hinton", "teacher", pytest.approx(0.9)),
    ]  # fmt: skip
    assert sum(p["weight"] * p["value"] for p in pair) == pytest.approx(records[2]["loss"], rel=1e-5)
    # the rate falls in a straight line from 0.01 over ten batches: 0.01 ... 0.006 in the first epoch
    assert [r["lr"] for r in records[:2]] == pytest.approx([0.008, 0.003])


def test_predictions_give_the_scores_again(whole: Path) -> None:
    scores = json.loads((whole / "scores.json").read_text())
    content = np.load(whole / "predictions.npz", allow_pickle=False)
    assert content["predictions"].dtype == np.uint8
    assert content["predictions"].shape == (2, scores["items"]["test"])
    for name, row in zip(content["networks"], content["predictions"], strict=True):
        assert (row == content["labels"]).mean() == pytest.approx(scores["networks"][str(name)]["accuracy"])
    assert scores["items"] == {"train": 144, "validation": 16, "test": len(content["labels"])}
    assert len(content["classes"]) == 3
