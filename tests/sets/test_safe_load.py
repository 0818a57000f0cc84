"""A .pt holds what its tensors claim: sizes of records are compared, checksums asked for."""

import io
import zipfile
from pathlib import Path

import pytest
import torch

from distill.errors import SetError
from distill.sets.distilled import DistilledSet
from distill.sets.safe_load import UnsafeFile, load_plain
from tests.helpers import small_set


def resize_record(path: Path, size: int, record: str = "data/0") -> None:
    """The file with one of its records cut to so many bytes, or filled up with zeros, its checksum right."""
    with zipfile.ZipFile(path) as archive:
        parts = {part.filename: archive.read(part) for part in archive.infolist()}
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_STORED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content.ljust(size, b"\0")[:size] if name.endswith(record) else content)
    path.write_bytes(memory.getvalue())


@pytest.mark.parametrize("size", [0, 10, 764, 772, 10_000])
def test_a_record_of_another_size_than_claimed_never_loads_its_neighbours(tmp_path: Path, size: int) -> None:
    small_set().save(tmp_path / "s.pt")
    resize_record(tmp_path / "s.pt", 768)
    DistilledSet.load(tmp_path / "s.pt")
    resize_record(tmp_path / "s.pt", size)
    with pytest.raises(SetError, match=rf"damaged.*a part of {size} bytes is read as 192 numbers of 4"):
        DistilledSet.load(tmp_path / "s.pt")


def write_legacy(path: Path) -> bytes:
    state = {"w": torch.arange(6.0), "b": torch.ones(2).half(), "alias": torch.ones(3).long()}
    torch.save(state, path, _use_new_zipfile_serialization=False)
    return path.read_bytes()


@pytest.mark.parametrize("change", [lambda raw: raw[:-4], lambda raw: raw + b"more", lambda raw: raw[:-40]])
def test_a_file_of_old_torch_has_the_sizes_that_it_claims(tmp_path: Path, change: object) -> None:
    raw = write_legacy(tmp_path / "old.pth")
    assert load_plain(tmp_path / "old.pth", "cpu")["w"].tolist() == [0, 1, 2, 3, 4, 5]
    (tmp_path / "old.pth").write_bytes(change(raw))
    with pytest.raises(UnsafeFile, match="storage"):
        load_plain(tmp_path / "old.pth", "cpu")


def test_a_set_without_checksums_is_refused(tmp_path: Path) -> None:
    """A flipped bit of a number could not be seen in it; no version of distill wrote one."""
    torch.save(small_set().to_dict(), tmp_path / "s.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(SetError, match="it is no zip of torch 1.6 or later, with checksums"):
        DistilledSet.load(tmp_path / "s.pt")
