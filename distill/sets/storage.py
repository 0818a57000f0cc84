"""Files that are written whole or not at all, and read without executing anything."""

import io
import os
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from distill.errors import SetError
from distill.sets import safe_load as untrusted

FORMAT = "distill-set/1"


def write(path: str | os.PathLike[str], content: Any) -> None:
    """torch.save, atomically: readers see the old file or the new one, never half of one.

    Raises SetError where there is no room. (torch writes into memory first: on a full disk it raises
    what says nothing of the disk.)
    """
    path, memory = Path(path), io.BytesIO()
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
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
        with suppress(OSError):  # on a read-only disk there is none, and no asking either
            partial.unlink()


def read(path: str | os.PathLike[str], device: str, wanted: str = FORMAT) -> dict[str, Any]:
    """The content of a .pt of the wanted format; never executes what a pickle hides. Raises SetError."""
    if not Path(path).is_file():
        raise SetError(f"{path}: no such file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = untrusted.load(Path(path), device)
    except OSError as error:
        raise SetError(f"{path} cannot be read ({error.strerror})") from None
    except Exception as error:  # torch.load has a dozen ways to say no
        reason = error if isinstance(error, untrusted.Refused) else type(error).__name__
        raise SetError(
            f"{path} cannot be read as {wanted}: it is truncated, damaged, or holds more than"
            f" tensors and plain values ({reason})"
        ) from None
    return formatted(content, path, wanted)


def formatted(content: Any, path: str | os.PathLike[str], wanted: str = FORMAT) -> dict[str, Any]:
    """The content, if it says that it has the wanted format. Raises SetError."""
    found = content.get("format") if isinstance(content, dict) else None
    if found == wanted:
        return content
    if isinstance(found, str) and found.startswith(wanted.rstrip("0123456789")):
        raise SetError(f'{path} has the format "{found}"; this version reads "{wanted}": upgrade distill')
    raise SetError(f'{path} is a foreign file: it has no "format" key that says "{wanted}"')


def write_text(path: Path, text: str) -> None:
    """A text file, whole or not at all."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        partial.write_text(text, encoding="utf-8")
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
