"""A folder that is written whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from distill.errors import SetError

TENSORS, WORDS = "set.safetensors", "set.json"


def is_export(path: str | os.PathLike[str]) -> bool:
    """Whether a folder is of `distill export`."""
    return (Path(path) / WORDS).is_file()


@contextmanager
def whole(path: str | os.PathLike[str], overwrite: bool) -> Iterator[Path]:
    """A new folder beside path that takes its name at the end, or goes if anything fails. Raises SetError."""
    path = Path(os.path.abspath(path))
    check_free(path, overwrite)
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        partial.mkdir(parents=True)
        yield partial
        renamed(partial, path)
    except OSError as error:
        why = error.strerror or str(error)
        raise SetError(f"{path} cannot be written ({why}): make room, or choose another --out") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def renamed(partial: Path, path: Path) -> None:
    """partial becomes path; what was there goes when that is done."""
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


def check_free(path: Path, overwrite: bool) -> None:
    """Raise SetError where files would be lost that are no export, or one that is not to be replaced."""
    if path.exists() and not path.is_dir():
        raise SetError(f"{path} is a file: give --out a folder")
    if path.is_dir() and any(path.iterdir()):
        if not is_export(path):
            raise SetError(f"{path} holds files that are not an export: give --out another folder")
        if not overwrite:
            raise SetError(f"{path} holds another export: --overwrite replaces it")
