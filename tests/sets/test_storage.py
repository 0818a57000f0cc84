"""Every file is written by one helper: whole, through links, never over a device, never over an input."""

import os
import stat
from pathlib import Path

import pytest
import torch

from distill.errors import SetError
from distill.sets.distilled import DistilledSet
from distill.sets.folders import write_folder
from distill.sets.formats import safetensors
from distill.sets.formats.base import load_set
from distill.sets.storage import (
    FORMAT,
    check_output,
    read_tensors,
    separate,
    with_final_name,
    write_tensors,
    write_text,
)
from tests.helpers import small_set, waves

WRITERS = {
    "write_text": lambda path: write_text(path, "new"),
    "write_tensors": lambda path: write_tensors(path, {}),
    "set.save": lambda path: small_set().save(path),
    "check_output": check_output,
}


def make_special(path: Path, kind: str) -> Path:
    """A folder, a pipe, or a link to a device."""
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/null")
    return path


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("kind", ["folder", "pipe", "device"])
def test_what_is_no_regular_file_is_never_replaced(tmp_path: Path, writer: str, kind: str) -> None:
    path = make_special(tmp_path / "odd", kind)
    before = stat.S_IFMT(path.stat().st_mode)
    with pytest.raises(SetError, match=r"odd is (a folder|a device or a pipe.*): give the name of a file"):
        WRITERS[writer](path)
    assert stat.S_IFMT(path.stat().st_mode) == before
    assert os.listdir(tmp_path) == ["odd"]


def test_a_link_stays_and_its_file_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "real.txt").write_text("old")
    (tmp_path / "link").symlink_to(tmp_path / "far" / "real.txt")
    write_text(tmp_path / "link", "new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "far" / "real.txt").read_text() == "new"
    assert sorted(os.listdir(tmp_path)) == ["far", "link"]


def test_a_new_file_has_the_usual_permissions_and_an_old_one_keeps_its_own(tmp_path: Path) -> None:
    path, usual = tmp_path / "a", tmp_path / "usual"
    write_text(path, "new")
    usual.write_text("")
    assert path.stat().st_mode == usual.stat().st_mode
    path.chmod(0o640)
    write_text(path, "newer")
    assert stat.S_IMODE(path.stat().st_mode) == 0o640


def test_an_output_is_no_input_by_whatever_name(tmp_path: Path) -> None:
    small_set().save(tmp_path / "s.pt")
    os.link(tmp_path / "s.pt", tmp_path / "hard.pt")
    (tmp_path / "soft.pt").symlink_to(tmp_path / "s.pt")
    (tmp_path / "sub").mkdir()
    for name in ("s.pt", "hard.pt", "soft.pt", "sub/../s.pt"):
        with pytest.raises(SetError, match="would replace what is read from .*s.pt: choose another place"):
            check_output(tmp_path / name, ["mnist", None, tmp_path / "s.pt"])
    with pytest.raises(SetError, match="would replace what is read from"):
        check_output(tmp_path / "s.pt", [tmp_path])
    check_output(tmp_path / "new.pt", [tmp_path / "s.pt", tmp_path])


def test_a_path_has_a_name_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert [with_final_name(word) for word in ("a.pt", "b/set.pt")] == [Path("a.pt"), Path("b/set.pt")]
    assert [with_final_name(word) for word in (".", "..")] == [tmp_path, tmp_path.parent]


def test_a_place_without_its_folder_is_one_sentence_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(SetError, match="there is no folder .*nowhere"):
        check_output(tmp_path / "nowhere" / "a.pt")


@pytest.mark.parametrize("device", ["cuda:99", "gpu", "meta", "", None, 7.5])
def test_a_missing_device_is_named_and_the_file_is_not_blamed(tmp_path: Path, device: str) -> None:
    small_set().save(tmp_path / "s.pt")
    safetensors.write_set(small_set(), tmp_path / "out")
    for path in (tmp_path / "s.pt", tmp_path / "out"):
        with pytest.raises(SetError, match=f'no device "{device}" on this machine'):
            load_set(path, device)


@pytest.mark.skipif(torch.cuda.is_available(), reason="for machines without a GPU")
def test_cuda_without_a_gpu_is_no_damaged_file(tmp_path: Path) -> None:
    small_set().save(tmp_path / "s.pt")
    with pytest.raises(SetError, match='no device "cuda" on this machine: use "cpu"'):
        DistilledSet.load(tmp_path / "s.pt", device="cuda")


def test_a_set_of_views_is_written_with_its_own_numbers_alone(tmp_path: Path) -> None:
    real, labels = waves(5000, 1, 8, 8).float(), torch.eye(3)
    views = {"items": real[10:13], "labels": labels.T, "lrs": torch.tensor(0.1).expand(400)}
    data = small_set(3, 400, **views, init_state={"a": labels, "b": labels[0], "c": labels.view(9)})
    data.save(tmp_path / "s.pt")
    read = DistilledSet.load(tmp_path / "s.pt")
    for name in views:
        assert torch.equal(getattr(read, name), getattr(data, name))
    assert isinstance(read.init_state, dict)
    assert torch.equal(read.init_state["b"], labels[0])
    assert (tmp_path / "s.pt").stat().st_size < real.nbytes / 20


def test_two_names_of_one_tensor_are_written_once_and_tensors_of_their_own_are_not_copied(
    tmp_path: Path,
) -> None:
    large, part = torch.ones(10_000), waves(10).float()
    content = {"format": FORMAT, "a": [large, {"b": large}], "c": (part[:5], part)}
    write_tensors(tmp_path / "s.pt", content)
    read = read_tensors(tmp_path / "s.pt", "cpu")
    assert read["a"][0] is read["a"][1]["b"]
    assert torch.equal(read["c"][0], part[:5])
    assert (tmp_path / "s.pt").stat().st_size < 1.2 * large.nbytes
    separated = separate(content, {}, set())
    assert separated["a"][0] is large
    assert separated["c"][1] is part


def test_a_file_of_another_kind_is_called_so(tmp_path: Path) -> None:
    torch.save({"format": "distill-network/1"}, tmp_path / "net.pt")
    with pytest.raises(SetError, match=r'has the format "distill-network/1", not "distill-set/1"'):
        read_tensors(tmp_path / "net.pt", "cpu")


def test_no_message_shows_a_temporary_name(tmp_path: Path) -> None:
    with (
        pytest.raises(SetError, match="cannot be written") as error,
        write_folder(tmp_path / "out", False, safetensors.EXPORT) as folder,
    ):
        write_text(folder / "nowhere" / "a.txt", "")
    assert ".part" not in str(error.value)
    assert os.listdir(tmp_path) == []


FOREIGN = {
    "hugging-face-model": {"config.json": "{}", "model.safetensors": "w"},
    "foreign-set.json": {"set.json": '{"format": "my-cards/1"}'},
    "repository": {".git/HEAD": "ref"},
    "notes-beside-an-export": {"notes.txt": "years"},
}


@pytest.mark.parametrize("row", FOREIGN)
def test_an_export_removes_only_what_an_export_wrote(tmp_path: Path, row: str) -> None:
    out = tmp_path / "out"
    safetensors.write_set(small_set(), out)
    for name, content in FOREIGN[row].items():
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text(content)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(SetError, match="did not write: move it away|not an export: give --out"):
        safetensors.write_set(small_set(), out, overwrite=True)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
