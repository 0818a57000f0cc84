"""Files that are written whole or not at all, and .pt files read without executing code."""

import io
import os
import stat
import tempfile
import warnings
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from distill.errors import SetError
from distill.sets.labels.top import TopLabels
from distill.sets.safe_load import UnsafeFile, load_plain

FORMAT = "distill-set/1"
ENCODED = "distill-set/2"  # with codes, of which items are decoded, in the place of items
TOP = "distill-set/3"  # either, with the largest values of labels per view in the place of all
FORMATS = (FORMAT, ENCODED, TOP)


def check_path(path: Any) -> None:
    """Raise SetError for what names no file, as None or a file that is open."""
    if not isinstance(path, str | os.PathLike):
        raise SetError(f"the path is a {type(path).__name__}: give the name of a file")


def write_tensors(path: str | os.PathLike[str], content: Any) -> None:
    """torch.save by write_file(), of each tensor its own numbers and no more. Raises SetError.

    torch saves into memory first, because on a full disk its own error does not name the disk.
    """
    memory = io.BytesIO()
    torch.save(separate(content, {}, set()), memory)
    write_file(path, memory.getbuffer())


def separate(value: Any, known: dict[int, torch.Tensor], storages: set[int]) -> Any:
    """The same value, in which each tensor has a storage of its own size that no other tensor has.

    torch.save writes whole storages: with the first images of a set, all of it. What is alone in its storage
    is not copied. known: by id, tensors that were met before; storages: the addresses of theirs.
    """
    if isinstance(value, torch.Tensor) and value.layout == torch.strided:
        if id(value) not in known:
            known[id(value)] = separate_tensor(value, storages)
        return known[id(value)]
    if isinstance(value, dict):
        return {key: separate(part, known, storages) for key, part in value.items()}
    if type(value) in (list, tuple):
        return type(value)(separate(part, known, storages) for part in value)
    return value


def separate_tensor(tensor: torch.Tensor, storages: set[int]) -> torch.Tensor:
    """The tensor itself where it fills a storage that is none of these, else a copy."""
    storage = tensor.untyped_storage()
    if tensor.is_contiguous() and storage.nbytes() == tensor.nbytes and storage.data_ptr() not in storages:
        storages.add(storage.data_ptr())
        return tensor
    return tensor.detach().clone(memory_format=torch.contiguous_format)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """A text file by write_file(). Raises SetError."""
    write_file(path, text.encode("utf-8"))


def write_file(path: str | os.PathLike[str], content: bytes | memoryview) -> None:
    """Write a file, atomically: a reader finds the old file or the new one, never half of one.

    A symbolic link stays one, and the file that it names is replaced; its permissions stay as they were.
    Raises SetError where the disk is full, or where something stands there that is no file.
    """
    check_path(path)
    check_regular(Path(path))
    target = Path(os.path.realpath(path))
    partial = partial_path(target)
    try:
        with open(partial, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if target.exists():
            with suppress(OSError):  # some file systems have no permissions
                partial.chmod(stat.S_IMODE(target.stat().st_mode))
        os.replace(partial, target)
    except OSError as error:
        raise SetError(
            f"{path} cannot be written ({error.strerror}): make room, or choose another place"
        ) from None
    finally:
        with suppress(OSError):  # on a read-only disk the file does not exist, and asking for it fails
            partial.unlink()


def check_output(
    path: str | os.PathLike[str],
    inputs: Iterable[str | os.PathLike[str] | None] = (),
    overwrite: bool = True,
) -> None:
    """Raise SetError where a file cannot be written at path, or would replace one that is to be kept.

    To be asked before hours of work rather than after. inputs: what is read and so is never replaced: files,
    folders, or names that are neither. overwrite: whether any other file may be.
    """
    path = Path(path)
    check_regular(path)
    for source in inputs:
        if source and path.exists() and is_within(path, Path(source)):
            raise SetError(f"{path} would replace what is read from {source}: choose another place")
    if path.exists() and not overwrite:
        raise SetError(f"{path} is there already: --overwrite replaces it, or give another --out")
    if not path.parent.is_dir():
        raise SetError(f"{path} cannot be written (there is no folder {path.parent}): choose another place")
    try:
        with tempfile.TemporaryFile(dir=Path(os.path.realpath(path)).parent):
            pass
    except OSError as error:
        raise SetError(f"{path} cannot be written ({error.strerror}): choose another place") from None


def check_regular(path: Path) -> None:
    """Raise SetError where a folder, a device or a pipe stands in the place of a file."""
    if path.exists() and not path.is_file():
        actual = "a folder" if path.is_dir() else "a device or a pipe, not a regular file"
        raise SetError(f"{path} is {actual}: give the name of a file")


def with_final_name(path: str | os.PathLike[str]) -> Path:
    """The path, or its absolute one where it ends in no name of its own, as "." and ".."."""
    return Path(path) if Path(path).name not in ("", "..") else Path(os.path.abspath(path))


def is_within(path: Path, place: Path) -> bool:
    """Whether path is an existing file or folder, or lies in that folder, by whatever names and links."""
    resolved, place = Path(os.path.realpath(path)), Path(os.path.realpath(place))
    same = path.exists() and place.exists() and path.samefile(place)
    return same or (place.is_dir() and place in resolved.parents)


def read_tensors(path: str | os.PathLike[str], device: str, expected: str = FORMAT) -> dict[str, Any]:
    """The content of a .pt file of the expected format; no code in it is executed. Raises SetError."""
    check_path(path)
    if not Path(path).is_file():
        raise SetError(f"{path}: {'not a regular file' if Path(path).exists() else 'no such file'}")
    check_device_word(device)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = load_plain(Path(path), device, with_checksums=True)
    except OSError as error:
        raise SetError(f"{path} cannot be read ({error.strerror})") from None
    except Exception as error:  # torch.load raises a dozen kinds of errors
        reason = error if isinstance(error, UnsafeFile) else type(error).__name__
        raise SetError(
            f"{path} cannot be read as {expected}: it is truncated, damaged, or holds more than"
            f" tensors and plain values ({reason})"
        ) from None
    return check_format(content, path, expected)


def check_device_word(device: str) -> None:
    """Raise SetError where this machine has no device of this name."""
    try:
        torch.zeros(1, device=torch.device(device)).tolist()
    except (RuntimeError, AssertionError, TypeError):
        raise SetError(f'no device "{device!s:.40}" on this machine: use "cpu"') from None


def check_format(content: Any, path: str | os.PathLike[str], expected: str = FORMAT) -> dict[str, Any]:
    """The content, if its "format" is the expected one. Raises SetError."""
    name = content.get("format") if isinstance(content, dict) else None
    known = FORMATS if expected == FORMAT else (expected,)
    if name in known:
        return content
    if isinstance(name, str) and name.startswith(expected.rstrip("0123456789")):
        words = " and ".join(f'"{word}"' for word in known)
        raise SetError(f'{path} has the format "{name:.40}"; this version reads {words}: upgrade distill')
    if isinstance(name, str):
        raise SetError(f'{path} has the format "{name:.40}", not "{expected}": it is another kind of file')
    raise SetError(f'{path} is a foreign file: it has no "format" key that says "{expected}"')


def check_kind(content: dict[str, Any]) -> None:
    """Raise SetError where a file's format and its content disagree: codes, or items, and never both."""
    form, has_codes = content.get("format"), content["codes"] is not None
    if isinstance(content["view_labels"], dict) != (form == TOP):
        kind = "a dict" if form == TOP else "a tensor"
        raise SetError(f'the format "{form!s:.40}" has view_labels as {kind}')
    encoded = has_codes if form == TOP else form == ENCODED
    if encoded != has_codes or (has_codes and "items" in content):
        word = "codes and no items" if encoded else "items and no codes"
        raise SetError(f'the format "{form!s:.40}" has {word}')


def partial_path(path: Path) -> Path:
    """Where a file or folder is built before it takes its name."""
    return path.with_name(f".{path.name}.{os.getpid()}.part")


def move(value: Any, device: str | torch.device) -> Any:
    """A value with all tensors in it on a device."""
    if isinstance(value, torch.Tensor | TopLabels):
        return value.to(device=device)
    if isinstance(value, dict):
        return {key: move(part, device) for key, part in value.items()}
    return [move(part, device) for part in value] if isinstance(value, list) else value
