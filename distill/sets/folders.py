"""Folders that are written whole or not at all, and the one answer to what in a folder may be removed."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from distill.errors import SetError, UserError
from distill.sets.storage import partial_path

LARGEST_MARKER = 1 << 26  # bytes


@dataclass(frozen=True)
class Owner:
    """What writes a kind of folder: "a run" or "an export".

    marker: the JSON file by which its folders are known, if is_own says so of its content. files: the names
    of all that it writes, as patterns. replace: what to do where one is there already.
    """

    noun: str
    marker: str
    is_own: Callable[[Any], bool]
    files: tuple[str, ...]
    replace: str
    error: type[UserError] = SetError

    def read_marker(self, folder: Path) -> Any:
        """What the folder's marker holds; None where it is not there, or is not of this kind."""
        path = folder / self.marker
        try:
            whole = path.is_file() and path.stat().st_size <= LARGEST_MARKER
            content = json.loads(path.read_text(encoding="utf-8")) if whole else None
        except (OSError, ValueError, RecursionError):
            return None
        return content if self.is_own(content) else None

    def wrote(self, name: str, marker: dict[str, Any]) -> bool:
        """Whether a file of this name is the owner's: by a pattern, or since its marker names it."""
        named = marker.get("files")
        is_named = isinstance(named, list) and name in named
        return is_named or any(fnmatch(name, pattern) for pattern in self.files)


def list_removable(folder: Path, owner: Owner, overwrite: bool) -> list[Path]:
    """The files of a folder that --overwrite may remove, the marker last: all of them are of this owner.

    Raises the owner's error where a file stands there that the owner did not write, where the folder is
    another's, or where it is to be kept.
    """
    if folder.exists() and not folder.is_dir():
        raise owner.error(f"{folder} is a file: give --out a folder")
    try:
        children = sorted(folder.iterdir()) if folder.is_dir() else []
    except OSError as error:
        raise owner.error(f"{folder} cannot be read ({error.strerror}): give --out another folder") from None
    if all(path.match(".*.part") for path in children):  # what a killed process was writing
        return [path for path in children if path.is_file()]
    marker = owner.read_marker(folder)
    if marker is None:
        raise owner.error(f"{folder} holds files that are not {owner.noun}: give --out another folder")
    if not overwrite:
        raise owner.error(f"{folder} holds {owner.replace.format(folder=folder)}")
    files = list_files(folder)
    for path in files:
        name = path.relative_to(folder).as_posix()
        if path.is_dir() or not (owner.wrote(name, marker) or path.match(".*.part")):
            raise owner.error(
                f"{folder} holds {name:.80}, which {owner.noun} did not write: move it away, or give --out"
                " another folder"
            )
    return sorted(files, key=lambda path: path.name == owner.marker)


def list_files(folder: Path) -> list[Path]:
    """All files below a folder; links to folders count as files, and are not followed."""
    files = []
    for root, names, leaves in os.walk(folder):
        links = [name for name in names if (Path(root) / name).is_symlink()]
        files += [Path(root) / name for name in (*leaves, *links)]
    return sorted(files)


@contextmanager
def write_folder(path: str | os.PathLike[str], overwrite: bool, owner: Owner) -> Iterator[Path]:
    """A new folder to fill, which takes the name `path` at the end, or is removed if anything fails.

    overwrite: replace a folder of this name, if it holds nothing but what its owner wrote. Raises SetError.
    """
    path = Path(os.path.realpath(path))
    list_removable(path, owner, overwrite)
    partial = partial_path(path)
    try:
        partial.mkdir(parents=True)
        yield partial
        list_removable(path, owner, overwrite)
        replace_folder(path, partial)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise SetError(f"{path} cannot be written ({reason}): make room, or choose another --out") from None
    except SetError as error:
        raise SetError(str(error).replace(str(partial), str(path))) from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


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
