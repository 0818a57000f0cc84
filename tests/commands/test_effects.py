"""Options are applied or refused, numbers have bounds, words are not empty; streams may be closed."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from distill.commands import cli
from distill.commands.adapt import main as adapt
from distill.commands.compare import main as compare
from distill.commands.export import main as export
from distill.commands.image import main as image
from distill.commands.import_set import main as import_set
from distill.commands.relabel import main as relabel
from distill.commands.student import main as student
from distill.commands.teach import main as teach
from distill.commands.text import main as text
from distill.errors import UserError
from tests.helpers import run_module, small_set, write_npz
from tests.recipes import CE, NET, build_raw_recipe, write_recipe


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("effects")
    write_npz(root / "blobs.npz", classes=np.array(["a", "b", "c"]))  # as those of small_set()
    small_set().save(root / "set.pt")
    small_set(source={"name": "own data", "classes": ["a", "b", "c"], "mean": [0.0], "std": [1.0]}).save(
        root / "own.pt"
    )
    network = {"name": "mlp", "arguments": {}, "init": "fixed", "scheme": "xavier"}
    small_set(network=network, init_state={"1.weight": torch.ones(16, 64)}).save(root / "fixed.pt")
    export([str(root / "set.pt"), "--to", "safetensors", "--out", str(root / "folder")])
    return root


SET = ["set.pt", "--dataset", "blobs.npz"]
REFUSED: list[tuple[Any, list[str], str]] = [
    (student, [*SET, "--lr", "0.1"], "--lr has no effect on the set's own recipe: give --protocol"),
    (student, [*SET, "--epochs", "7"], "--epochs has no effect on the set's own recipe"),
    (student, [*SET, "--batch-size", "10"], "--batch-size has no effect on the set's own recipe"),
    (student, [*SET, "--share", "7", "--kd", "x"], '--kd: no loss called "x"'),
    (student, [*SET, "--share", "7"], "--share must be between 0 and 1, not 7"),
    (student, [*SET, "--share", "0.7"], "--share has no effect without --teacher"),
    (student, [*SET, "--kd", "hinton"], "--kd has no effect without --teacher"),
    (student, ["set.pt", "--train", "a.csv", "--test", "b.csv"], "--train has no effect on set.pt"),
    (student, [*SET, "--train", "a.csv", "--test", "b.csv"], "--dataset has no effect beside --train"),
    (student, ["fixed.pt", "--seeds", "3"], "--seeds has no effect on the fixed weights of fixed.pt"),
    (relabel, ["fixed.pt", "--teacher", "t.pt", "--seeds", "3"], "--seeds has no effect on the fixed"),
    (student, [*SET, "--test", "b.csv"], "--test has no effect without --train"),
    (student, [*SET, "--vectors", "v.txt"], "--vectors has no effect on set.pt: it is for sets of texts"),
    (student, [*SET, "--zca"], "--zca has no effect on set.pt: it is for public files"),
    (student, [*SET, "--experiment", "2"], "--experiment has no effect on set.pt"),
    (student, ["own.pt"], "own.pt was learned from your own data in Python: give them by --dataset"),
    (compare, [*SET, "--text-column", "t"], "--text-column has no effect without --train"),
    (relabel, [*SET, "--teacher", "t.pt", "--tau", "inf"], "--tau must be a finite number, not inf"),
    (export, ["set.pt", "--to", "images", "--license", "mit"], "--license has no effect without --to hf"),
    (import_set, ["folder", "--out", "new.pt", "--lr", "inf"], "--lr must be a finite number, not inf"),
    (import_set, ["folder", "--out", "new.pt", "--lr", "0.1"], "--lr has no effect on folder: an export"),
    (import_set, ["folder", "--out", "new.pt", "--dataset", "mnist"], "--dataset has no effect on folder"),
    (import_set, ["nope.pt", "--out", "new.pt"], "nope.pt: no such file or folder"),
    (image, ["--init", "random", "--fixed-networks", "2"], "--fixed-networks has no effect without"),
    (student, [*SET, "--save-scores"], "--save-scores has no effect without --protocol"),
    (student, [*SET, "--protocol", "recipe", "--save-scores"], "--save-scores keeps scores by a standard"),
    (student, ["folder", *SET[1:], "--protocol", "dc", "--save-scores"], "folder is a folder"),
    (image, ["--dc-networks", "3"], "--dc-networks has no effect without --init random"),
    (image, ["--init", "random", "--dc-networks", "3", "--weights", "w"], "--dc-networks has no effect"),
    (image, ["--init", "random", "--dc-networks", "-1"], "--dc-networks must be at least 0, not -1"),
    (image, ["--validation-networks", "3"], "--validation-networks has no effect without --init random"),
    (image, ["--labels", "hard", "--label-lr-scale", "2"], "--label-lr-scale has no effect without --labels"),
    (image, ["--method", "dm", "--label-lr-scale", "2"], "--label-lr-scale has no effect without --labels"),
    (image, ["--method", "dc", "--label-lr-scale", "2"], "--label-lr-scale has no effect without --labels"),
    (image, ["--method", "dm", "--lr-lr-scale", "2"], "--lr-lr-scale is for methods that unroll"),
    (image, ["--window", "3", "--engine", "unroll"], "--window is an option of --engine truncated"),
    (image, ["--window-at", "random", "--engine", "recompute"], "--window-at is an option of --engine"),
    (image, ["--states-device", "cpu", "--engine", "unroll"], "--states-device is an option of"),
    (image, ["--weights", ""], "--weights is empty: give a value, or leave it out"),
    (image, ["--resume", ""], "--resume is empty"),
    (image, ["--dataset", ""], "--dataset is empty"),
    (image, ["--lr", "inf"], "--lr must be a finite number, not inf"),
    (image, ["--lr", "-1e-3"], "--lr must be above 0, not -0.001"),
    (image, ["--ema-decay", "-1"], "--ema-decay must be between 0 and 1, not -1"),
    (image, ["--ema-decay", "inf"], "--ema-decay must be a finite number, not inf"),
    (image, ["--ema-decay", "1e30"], "--ema-decay must be between 0 and 1, not 1e+30"),
    (text, ["--label-column", "sentiment"], "--label-column has no effect without --train"),
    (text, ["--train", "a.csv", "--test", "b.csv", "--dataset", "trec"], "--dataset has no effect beside"),
    (text, ["--train", "a.csv", "--test", "b.csv", "--data-dir", "d"], "--data-dir has no effect beside"),
    (adapt, ["--pool", "3"], "--pool has no effect without --init random"),
    (teach, ["recipe.yaml", "--out", ""], "--out is empty"),
]  # fmt: skip


@pytest.mark.parametrize(("verb", "arguments", "sentence"), REFUSED, ids=[" ".join(r[1]) for r in REFUSED])
def test_an_option_without_effect_is_refused(
    verb: Any, arguments: list[str], sentence: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(folder)
    before = sorted(folder.rglob("*"))
    assert verb(arguments) == 2
    assert capsys.readouterr().err.strip().splitlines()[-1].startswith(f"distill: {sentence}")
    assert sorted(folder.rglob("*")) == before


def test_a_set_of_a_user_s_own_floats_says_how_pixels_are_read(folder: Path, capsys: Any) -> None:
    assert student([str(folder / "own.pt"), "--dataset", str(folder / "blobs.npz"), "--seeds", "1"]) == 0
    assert (
        "own.pt was learned from floats as they were: here pixels are read as 0 … 1"
        in capsys.readouterr().err
    )
    assert student([str(folder / "set.pt"), "--dataset", str(folder / "blobs.npz"), "--seeds", "1"]) == 0
    assert "pixels" not in capsys.readouterr().err


def test_out_and_overwrite_beside_resume_are_refused(folder: Path, tmp_path: Path, capsys: Any) -> None:
    options = [
        "--dataset",
        str(folder / "blobs.npz"),
        "--network",
        "mlp",
        "--width",
        "4",
        "--outer-steps",
        "1",
    ]
    assert image([*options, "--inner-steps", "2", "--held-out", "20", "--out", str(tmp_path / "run")]) == 0
    capsys.readouterr()
    for option in (["--out", "elsewhere"], ["--overwrite"]):
        assert image(["--resume", str(tmp_path / "run"), *option]) == 2
        assert f"{option[0]} has no effect beside --resume: leave one of them out" in capsys.readouterr().err


HUGE: list[tuple[Any, list[str], str]] = [
    (image, ["--inner-steps"], "100,000, not 1,000,000,000,000: it would take 40 PB of memory or more"),
    (image, ["--outer-batch"], "1,000,000, not 1,000,000,000,000: it would take 20 PB of memory or more"),
    (image, ["--threads"], "1,024, not 1,000,000,000,000: it would take 8 EB of memory or more"),
    (image, ["--n"], "1,000,000, not 1,000,000,000,000: it would take 20 PB of memory or more"),
    (image, ["--fixed-networks"], "10,000"),
    (image, ["--init", "random", "--test-networks"], "10,000"),
    (image, ["--outer-steps"], "1,000,000,000, not 1,000,000,000,000: it would take 32 years or more"),
    (adapt, ["--network-steps"], "1,000,000,000"),
    (student, [*SET, "--optimizer", "Adam", "--epochs"], "1,000,000, not"),
    (student, [*SET, "--seeds"], "10,000"),
    (student, [*SET, "--threads"], "1,024"),
    (compare, [*SET, "--seeds"], "10,000"),
    (import_set, ["folder", "--epochs"], "1,000,000"),
]  # fmt: skip


@pytest.mark.parametrize(("verb", "arguments", "sentence"), HUGE, ids=[r[1][-1] + r[2][:9] for r in HUGE])
def test_numbers_of_1e12_are_refused_with_what_they_would_take(
    verb: Any, arguments: list[str], sentence: str, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(folder)
    assert verb([*arguments, "1" + "0" * 12]) == 2
    assert f"distill: {arguments[-1]} must be at most {sentence}" in capsys.readouterr().err


def test_a_number_of_5000_digits_is_one_short_sentence(capsys: Any) -> None:
    with pytest.raises(SystemExit, match="2"):
        image(["--n", "9" * 5000])
    assert len(capsys.readouterr().err) < 200
    assert image(["--n", "9" * 400]) == 2
    assert "--n must be a whole number, not 9999" in capsys.readouterr().err


def test_text_offers_no_options_of_images(capsys: Any) -> None:
    with pytest.raises(SystemExit, match="0"):
        text(["--help"])
    assert not {"--augment", "--compile"} & set(capsys.readouterr().out.split())


def test_a_negative_seed_needs_no_equals_sign() -> None:
    from distill.commands.options import parse

    settings, given = parse(image.__globals__["SETTINGS"], ["--seed", "-1", "--lr", "-2e-3"], "image")
    assert (settings.run.seed, settings.inner.lr) == (-1, -0.002)
    assert given == settings.run.given == {"seed", "lr"}


@pytest.mark.parametrize(
    "error",
    [MemoryError(), RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
     torch.OutOfMemoryError("CUDA out of memory. Tried")],
    ids=["python", "cpu", "cuda"],
)  # fmt: skip
def test_out_of_memory_says_so_at_the_top(error: Exception, capsys: Any) -> None:
    def job() -> dict[str, Any]:
        raise error

    assert cli.print_result(job, as_json=False) == 2
    assert capsys.readouterr().err.startswith("distill: out of memory: choose fewer or smaller items")
    with pytest.raises(RuntimeError, match="a fault of ours"):
        cli.print_result(lambda: (_ for _ in ()).throw(RuntimeError("a fault of ours")), as_json=False)
    with pytest.raises(UserError, match="x"):
        raise UserError("x")


def test_other_processes_than_the_first_print_no_result(capsys: Any) -> None:
    assert cli.print_result(dict, as_json=True) == 0
    assert cli.print_result(lambda: {"a": 1}, as_json=True) == 0
    assert capsys.readouterr().out == '{"a": 1}\n'


@pytest.mark.parametrize("ending", ["| true", "2>&-", ">&-", "> ascii.txt"])
def test_the_result_is_written_whatever_the_streams_are(ending: str, folder: Path, tmp_path: Path) -> None:
    line = f"{sys.executable} -m distill student {folder}/set.pt --dataset {folder}/blobs.npz --seeds 2"
    line = f"set -o pipefail; {line} --save {tmp_path}/net.pt {ending}"
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONIOENCODING": "ascii"}
    result = subprocess.run(
        ["bash", "-c", line], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert (tmp_path / "net.pt").is_file()
    if "ascii" in ending:
        assert "\\xb1" in (tmp_path / "ascii.txt").read_text("ascii")


def test_help_and_errors_are_printed_in_ascii() -> None:
    for arguments in (["image", "--help"], ["student", "--help"], ["student", "ö.pt"]):
        result = run_module("distill", *arguments, env={"PYTHONIOENCODING": "ascii"})
        assert "Traceback" not in result.stderr
        assert result.returncode == (0 if "--help" in arguments else 2)


def test_teach_and_compare_say_every_ten_seconds_that_they_go_on(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setattr("distill.runs.recipes.progress.EVERY", 0.0)
    monkeypatch.setattr("distill.student.comparison.grid.EVERY", 0.0)
    path = write_recipe(tmp_path, build_raw_recipe(tmp_path, {"a": NET}, [{"turns": {"a": [CE]}}]))
    assert teach([str(path), "--out", str(tmp_path / "run")]) == 0
    assert "stage 1 of 1, 100 %, loss " in capsys.readouterr().err
    paths = [
        str(folder / "set.pt"),
        "--dataset",
        str(folder / "blobs.npz"),
        "--out",
        str(tmp_path / "c.json"),
    ]
    assert compare([*paths, "--networks", "mlp", "--seeds", "1", "--baselines", "means"]) == 0
    assert "7 of 8 cells are scored" in capsys.readouterr().err
