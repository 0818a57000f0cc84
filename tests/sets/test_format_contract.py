"""Every format of the table keeps the contract of distill/sets/formats/base.py, a new one too."""

import os
import resource
import shutil
from collections.abc import Callable
from inspect import signature
from pathlib import Path

import pytest
import torch

from distill.__main__ import main
from distill.data.images import load as load_images
from distill.errors import SetError
from distill.registry import load
from distill.sets.distilled import DistilledSet
from distill.sets.formats import FORMATS, PUBLIC_READERS, SET_READERS, WRITERS
from distill.sets.formats.base import PublicSet, SourceFile, find_format, is_export, is_public, load_set
from distill.sets.formats.base import read_public_file as read_file
from distill.sets.public.build import import_public, normalise
from distill.sets.public.match import match_images
from tests.helpers import small_set, write_npz
from tests.sets.samples import STATE, is_equal_set, whitened_set, write_sample

READERS = SET_READERS | PUBLIC_READERS
ARGUMENTS = {
    "write_set": ["data", "path", "license", "overwrite"],  # and those that its line names
    "matches": ["file"],
    "read_set": ["file", "device"],
    "read_public": ["file", "experiment"],
}


def write_set(word: str, *arguments: object, **options: object) -> Path:
    return load(WRITERS[word]).write_set(*arguments, **options)


@pytest.mark.parametrize("word", FORMATS)
def test_a_format_has_the_functions_that_its_line_promises(word: str) -> None:
    line = FORMATS[word]
    module = load(line)
    names = ["write_set"] * line.writes
    names += ["matches", f"read_{line.reads}"] if line.reads else []
    assert names
    assert line.reads in ("", "set", "public")
    own = [option for option in line.options if option not in ARGUMENTS["write_set"]]
    arguments = ARGUMENTS | {"write_set": ARGUMENTS["write_set"] + own}
    assert all(list(signature(getattr(module, name)).parameters) == arguments[name] for name in names)
    assert len((module.__doc__ or "").split()) > 5
    assert line.summary


@pytest.mark.parametrize("word", WRITERS)
@pytest.mark.parametrize("init", [None, STATE, [STATE, {"1.weight": torch.zeros(2, 2)}]])
def test_an_export_is_read_back_to_the_bit(word: str, init: object, tmp_path: Path) -> None:
    data = whitened_set(init_state=init, lrs=torch.full((4, 6), 0.1))
    path = write_set(word, data, tmp_path / "out")
    assert is_export(path)
    assert not is_public(path)
    assert is_equal_set(load_set(path), data)
    assert os.listdir(tmp_path) == ["out"]


def write_file(path: Path) -> Path:
    path.write_text("a user's")
    return path


def write_user_folder(path: Path) -> Path:
    path.mkdir()
    return write_file(path / "notes.txt")


@pytest.mark.parametrize(
    ("write_other", "sentence"),
    [(write_file, "is a file"), (write_user_folder, "files that are not an export")],
)
@pytest.mark.parametrize("word", WRITERS)
def test_only_exports_are_overwritten(
    word: str, write_other: Callable[[Path], Path], sentence: str, tmp_path: Path
) -> None:
    file = write_other(tmp_path / "out")
    with pytest.raises(SetError, match=sentence):
        write_set(word, small_set(), tmp_path / "out", overwrite=True)
    assert file.read_text() == "a user's"


@pytest.mark.parametrize("word", WRITERS)
def test_an_export_is_overwritten_only_where_asked(word: str, tmp_path: Path) -> None:
    write_set("safetensors", small_set(), tmp_path / "out")
    with pytest.raises(SetError, match="holds another export: --overwrite replaces it"):
        write_set(word, whitened_set(), tmp_path / "out")
    write_set(word, whitened_set(), tmp_path / "out", overwrite=True)
    assert load_set(tmp_path / "out").source["name"] == "mnist"
    write_set(word, small_set(), tmp_path / "out", overwrite=True)  # all its files are known as an export's
    assert load_set(tmp_path / "out").source["name"] == "blobs.npz"


@pytest.mark.parametrize("word", WRITERS)
def test_a_full_disk_is_one_sentence_and_the_older_export_stays(word: str, tmp_path: Path) -> None:
    """A limit on the size of files stands in for the full disk."""
    write_set("safetensors", small_set(), tmp_path / "out")
    write_set(word, small_set(), tmp_path / "first")  # what it imports may be written to a cache
    shutil.rmtree(tmp_path / "first")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(SetError, match="cannot be written .*: make room"):
            write_set(word, small_set(items=torch.ones(3, 1, 8, 8)), tmp_path / "out", overwrite=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(tmp_path) == ["out"]
    assert is_equal_set(load_set(tmp_path / "out"), small_set())


@pytest.mark.parametrize("word", WRITERS)
def test_the_command_line_lists_writes_and_suggests_a_format(
    word: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    small_set().save(tmp_path / "set.pt")
    assert main(["export", str(tmp_path / "set.pt"), "--to", word]) == 0
    assert is_equal_set(load_set(tmp_path / f"set-{word}"), small_set())
    assert main(["export", str(tmp_path / "set.pt"), "--to", f"{word}q"]) == 2
    assert f'--to: no format called "{word}q"; did you mean "{word}"?' in capsys.readouterr().err
    with pytest.raises(SystemExit, match="0"):
        main(["export", "--help"])
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert f"{word}: {WRITERS[word].summary}" in text


def write_other_files(folder: Path, word: str) -> list[Path]:
    """Paths that are not of the format: nothing, an empty folder, bytes, text, a .pt, other formats."""
    (folder / "empty").mkdir()
    (folder / "bytes.npz").write_bytes(bytes(range(256)))
    (folder / "text.json").write_text("{}")
    small_set().save(folder / "set.pt")
    paths = [folder / name for name in ("missing", "empty", "bytes.npz", "text.json", "set.pt")]
    paths += [write_npz(folder / "real.npz")]
    return paths + [write_sample(public, folder) for public in PUBLIC_READERS if public != word]


@pytest.mark.parametrize("word", READERS)
def test_a_reader_matches_no_other_file(word: str, tmp_path: Path) -> None:
    module = load(READERS[word])
    assert [p for p in write_other_files(tmp_path, word) if module.matches(SourceFile(p))] == []


@pytest.mark.parametrize("word", SET_READERS)
def test_a_complete_set_is_matched_and_read(word: str, tmp_path: Path) -> None:
    file = SourceFile(write_set(word, small_set(), tmp_path / "out"))
    module = load(SET_READERS[word])
    assert module.matches(file)
    assert is_equal_set(module.read_set(file), small_set())


@pytest.mark.parametrize("word", PUBLIC_READERS)
def test_a_public_file_is_matched_and_becomes_a_set(word: str, tmp_path: Path) -> None:
    path = write_sample(word, tmp_path)
    module = load(PUBLIC_READERS[word])
    assert find_format(SourceFile(path), PUBLIC_READERS) is module
    assert is_public(path)
    public = module.read_public(SourceFile(path))
    assert isinstance(public, PublicSet)
    assert len(public.items) == 3
    train, _ = load_images(str(write_npz(tmp_path / "blobs.npz")))
    data = import_public(path, train)
    data.save(tmp_path / "set.pt")
    items = match_images(public, train, path, zca=False)
    assert torch.equal(DistilledSet.load(tmp_path / "set.pt").items, normalise(items, data.source))
    assert data.provenance["format"] == public.project
    assert data.provenance["command"].startswith(f"distill import {path.name} --dataset blobs.npz")


@pytest.mark.parametrize("word", PUBLIC_READERS)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_a_truncated_public_file_is_refused(word: str, share: float, tmp_path: Path) -> None:
    path = write_sample(word, tmp_path)
    for file in [path] if path.is_file() else filter(Path.is_file, path.rglob("*")):
        content = file.read_bytes()
        file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(SetError, match=path.name):
        read_file(path)
