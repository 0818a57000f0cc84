"""What a file may ask of the machine: asked of its directory entry and header, before it is unpacked."""

import os
import shutil
from pathlib import Path

from distill.errors import DataError

MAX_PIXELS = 80_000_000  # of one picture
MAX_GROWTH = 100  # how many times its size on disk a file may take when it is unpacked …
FREE_SIZE = 2**30  # … unless that is less than this, in bytes
DEFAULT_MEMORY = 2**40  # bytes, where the system does not say


def check_regular(path: Path) -> None:
    """Raise DataError where a path is a pipe, a device or a socket, which may never end."""
    if path.exists() and not path.is_file() and not path.is_dir():
        raise DataError(f"{path} is not a regular file: give a file or a folder")


def check_growth(path: Path, unpacked: int) -> None:
    """Raise DataError where unpacking a file takes far more than the file itself, or all memory."""
    if unpacked > max(FREE_SIZE, MAX_GROWTH * path.stat().st_size):
        raise DataError(
            f"{path} unpacks from {in_units(path.stat().st_size)} to {in_units(unpacked)}, more than"
            f" {MAX_GROWTH} times its size: if that is right, save it without compression"
        )
    check_memory(unpacked, f"{path} unpacked", "save fewer or smaller images")


def check_pixels(path: object, height: int, width: int) -> None:
    """Raise DataError where one picture is too large to be decoded or enlarged."""
    if height * width > MAX_PIXELS:
        raise DataError(
            f"{path} would take {height * width / 1e6:,.0f} megapixels, more than {MAX_PIXELS / 1e6:.0f}:"
            " shrink or crop it first"
        )


def check_memory(size: int, what: str, mend: str) -> None:
    """Raise DataError where so many bytes are more than the machine has: "… would take 78 TB of memory"."""
    memory = machine_memory()
    if size > memory:
        raise DataError(
            f"{what} would take {in_units(size)} of memory, this machine has {in_units(memory)}: {mend}"
        )


def machine_memory() -> int:
    """The bytes of memory of this machine."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # not on this system
        return DEFAULT_MEMORY


def free_bytes(folder: Path) -> int:
    """The bytes that are free on the disk of a folder, which need not be there yet."""
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    return shutil.disk_usage(there).free


def in_units(size: int) -> str:
    """Bytes as "20 kB", "4.9 GB"."""
    if size >= 10**15:
        return "more than 1,000 TB"
    for unit, scale in (("TB", 10**12), ("GB", 10**9), ("MB", 10**6)):
        if size >= scale:
            return f"{size / scale:,.1f} {unit}"
    return f"{-(-size // 1000)} kB"
