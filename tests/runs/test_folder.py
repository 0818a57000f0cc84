"""The run folder: refused where it would overwrite, and never half-written."""

import json
import os
from pathlib import Path

import pytest
import torch

from distill.errors import RunError
from distill.runs.files.checkpoint import load_checkpoint, save_checkpoint
from distill.runs.files.folder import check_free, create, read_config
from distill.runs.files.log import Log, read_log
from distill.runs.files.machine import check_device
from distill.sets.storage import write_text


def test_a_new_folder_is_made_with_its_parents(tmp_path: Path) -> None:
    assert (create(tmp_path / "a" / "b", False, {"n": 5}) / "config.json").is_file()


OLD = dict.fromkeys(("n", "labels", "network", "init", "inner_steps", "outer_steps", "seed"), 1)


def write_old_run(folder: Path, **config: object) -> Path:
    """A run folder with what an older run left."""
    folder.mkdir(exist_ok=True)
    write_text(folder / "config.json", json.dumps(OLD | config))
    for name in ("set.pt", "log.jsonl", "images.png", "report.html", ".set.pt.7.part"):
        write_text(folder / name, "old")
    return folder


def test_another_run_is_refused_without_overwrite(tmp_path: Path) -> None:
    write_old_run(tmp_path)
    with pytest.raises(
        RunError, match="holds another run: --resume .* goes on with it, --overwrite replaces it"
    ):
        create(tmp_path, False, {})
    assert (tmp_path / "set.pt").read_text() == "old"
    create(tmp_path, True, {})
    assert os.listdir(tmp_path) == ["config.json"]


NOT_OURS = {  # a folder that holds a config.json, as --overwrite may meet it
    "hugging-face-model": ({"config.json": '{"n": 5}', "model.safetensors": "w"}, "that are not a run"),
    "unreadable-config": ({"config.json": "{", "thesis.tex": "years"}, "files that are not a run"),
    "repository": ({".git/HEAD": "ref", "code.py": "years"}, r"\.git/HEAD, which a run did not write"),
    "notes-beside-a-run": ({"notes.txt": "years"}, "notes.txt, which a run did not write"),
    "folder-called-set.pt": ({"set.pt.d/a": "years"}, "set.pt.d/a, which"),
}  # fmt: skip


@pytest.mark.parametrize("row", NOT_OURS)
def test_overwrite_removes_only_what_a_run_wrote(tmp_path: Path, row: str) -> None:
    files, sentence = NOT_OURS[row]
    write_old_run(tmp_path)
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(content)
    before = {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()}
    with pytest.raises(RunError, match=sentence):
        create(tmp_path, True, {})
    assert {path: path.read_text() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_link_to_a_folder_of_files_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "set.pt").write_text("years")
    write_old_run(tmp_path / "run").joinpath("images.png").unlink()
    (tmp_path / "run" / "images.png").symlink_to(tmp_path / "photos")
    with pytest.raises(RunError, match=r"images.png, which a run did not write"):
        create(tmp_path / "run", True, {})
    assert (tmp_path / "photos" / "set.pt").read_text() == "years"


def test_overwrite_never_removes_what_the_new_run_reads(tmp_path: Path) -> None:
    run = write_old_run(tmp_path / "run")
    with pytest.raises(RunError, match=r"set.pt is in .*run, which --overwrite replaces: give --out another"):
        check_free(run, True, {"start": str(run / "set.pt")})
    check_free(run, True, {"start": str(tmp_path / "other.pt"), "dataset": "mnist"})


@pytest.mark.parametrize("overwrite", [True, False])
def test_a_folder_of_other_files_is_never_emptied(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(RunError, match="holds files that are not a run"):
        create(tmp_path, overwrite, {})
    assert (tmp_path / "thesis.tex").read_text() == "years of work"


def test_a_file_or_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="is a file"):
        create(tmp_path / "file", False, {})
    with pytest.raises(RunError, match="cannot be written"):
        create(tmp_path / "file" / "below", False, {})
    with pytest.raises(RunError, match="cannot be written"):
        create(Path("/proc/nowhere"), False, {})


def test_a_checkpoint_is_loaded_for_its_own_config_only(tmp_path: Path) -> None:
    content = {"state": {"step": 3, "memory": (torch.ones(2),), "average": {"items": torch.zeros(1)}}}
    assert load_checkpoint(tmp_path, {"n": 5}, "cpu") is None
    save_checkpoint(tmp_path, {"n": 5}, content)
    saved = load_checkpoint(tmp_path, {"n": 5}, "cpu")
    assert saved["state"]["step"] == 3
    assert torch.equal(saved["state"]["memory"][0], torch.ones(2))
    with pytest.raises(RunError, match="belongs to another run .it differs in n."):
        load_checkpoint(tmp_path, {"n": 6}, "cpu")
    assert os.listdir(tmp_path) == ["checkpoint.pt"]


def test_a_damaged_checkpoint_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, {}, {})
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(RunError, match="checkpoint.pt cannot be read as distill-checkpoint/1"):
        load_checkpoint(tmp_path, {}, "cpu")


def test_the_log_drops_steps_after_the_checkpoint(tmp_path: Path) -> None:
    log = Log(tmp_path, 0)
    for step in range(1, 6):
        log.add({"step": step})
    with open(tmp_path / "log.jsonl", "a") as file:
        file.write('{"step": 6, "lo')
    second_log = Log(tmp_path, 3)
    second_log.add({"step": 4, "new": 1})
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().split("\n") if line]
    assert lines == read_log(tmp_path) == [{"step": 1}, {"step": 2}, {"step": 3}, {"step": 4, "new": 1}]


@pytest.mark.parametrize("text", [None, "", "[1]", "{"])
def test_a_config_that_cannot_be_read_is_refused(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        write_text(tmp_path / "config.json", text)
    with pytest.raises(RunError, match="is not a run" if text is None else "is damaged"):
        read_config(tmp_path)


def test_a_missing_device_is_refused() -> None:
    assert check_device("cpu", 1) == "cpu"
    for device in ("cuda:77", "cuda" if not torch.cuda.is_available() else "cuda:99", "gpu"):
        with pytest.raises(RunError, match=f'no device "{device}" on this machine'):
            check_device(device, 1)
