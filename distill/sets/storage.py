"""Files and folders that are written whole or not at all, and .pt files read without executing code."""

import io
import os
import shutil
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import torch

from distill.errors import SetError
from distill.sets.safe_load import UnsafeFile, load_plain

FORMAT = "distill-set/1"


def write_tensors(path: str | os.PathLike[str], content: Any) -> None:
    """torch.save, atomically: a reader finds the old file or the new one, never half of one.

    Raises SetError where the disk is full. (torch saves into memory first, because on a full disk its own
    error does not name the disk.)
    """
    path, memory = Path(path), io.BytesIO()
    partial = partial_path(path)
    torch.save(content, memory)
    try:
        with open(partial, "wb") as file:
            file.write(memory.getbuffer())
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        raise SetError(
            f"{path} cannot be written ({error.strerror}): make room, or choose another place"
        ) from None
    finally:
        with suppress(OSError):  # on a read-only disk the file does not exist, and asking for it fails
            partial.unlink()


def read_tensors(path: str | os.PathLike[str], device: str, expected: str = FORMAT) -> dict[str, Any]:
    """The content of a .pt file of the expected format; no code in it is executed. Raises SetError."""
    if not Path(path).is_file():
        raise SetError(f"{path}: no such file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = load_plain(Path(path), device)
    except OSError as error:
        raise SetError(f"{path} cannot be read ({error.strerror})") from None
    except Exception as error:  # torch.load raises a dozen kinds of errors
        reason = error if isinstance(error, UnsafeFile) else type(error).__name__
        raise SetError(
            f"{path} cannot be read as {expected}: it is truncated, damaged, or holds more than"
            f" tensors and plain values ({reason})"
        ) from None
    return check_format(content, path, expected)


def check_format(content: Any, path: str | os.PathLike[str], expected: str = FORMAT) -> dict[str, Any]:
    """The content, if its "format" is the expected one. Raises SetError."""
    name = content.get("format") if isinstance(content, dict) else None
    if name == expected:
        return content
    if isinstance(name, str) and name.startswith(expected.rstrip("0123456789")):
        raise SetError(f'{path} has the format "{name}"; this version reads "{expected}": upgrade distill')
    raise SetError(f'{path} is a foreign file: it has no "format" key that says "{expected}"')


def write_text(path: Path, text: str) -> None:
    """Write a text file, whole or not at all."""
    partial = partial_path(path)
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def write_folder(path: str | os.PathLike[str], overwrite: bool, marker: str) -> Iterator[Path]:
    """A new folder to fill, which takes the name `path` at the end, or is removed if anything fails.

    overwrite: replace a folder of this name, if it holds the file `marker`. Raises SetError.
    """
    path = Path(os.path.abspath(path))
    check_replaceable(path, overwrite, marker)
    partial = partial_path(path)
    try:
        partial.mkdir(parents=True)
        yield partial
        replace_folder(path, partial)
    except OSError as error:
        reason = error.strerror or str(error)
        raise SetError(f"{path} cannot be written ({reason}): make room, or choose another --out") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_replaceable(path: Path, overwrite: bool, marker: str) -> None:
    """Raise SetError where other files would be lost, or an export that the user does not want to replace."""
    if path.exists() and not path.is_dir():
        raise SetError(f"{path} is a file: give --out a folder")
    if path.is_dir() and any(path.iterdir()):
        if not (path / marker).is_file():
            raise SetError(f"{path} holds files that are not an export: give --out another folder")
        if not overwrite:
            raise SetError(f"{path} holds another export: --overwrite replaces it")


def replace_folder(path: Path, partial: Path) -> None:
    """Give `partial` the name `path`; an older folder of this name is removed afterwards."""
    old = path.with_name(f".{path.name}.{os.getpid()}.old")
    if path.exists():
        os.rename(path, old)
    try:
        os.rename(partial, path)
    except OSError:
        if old.exists():
            os.rename(old, path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def partial_path(path: Path) -> Path:
    """Where a file or folder is built before it takes its name."""
    return path.with_name(f".{path.name}.{os.getpid()}.part")
