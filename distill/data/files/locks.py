"""hold_folder(): one process at a time writes into a folder of a cache; half of what one wrote goes away."""

import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # not on this system
    fcntl = None  # type: ignore[assignment]

PARTIAL = ".partial-"  # the names of what is being written begin so


@contextmanager
def hold_folder(folder: Path, work: str) -> Iterator[None]:
    """Keep other processes from writing there; what one that was killed was writing is removed.

    work: what such a process does, for the line that says that this one waits.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        wait_for_lock(handle, folder, work)
        for partial in folder.glob(f"{PARTIAL}*"):
            shutil.rmtree(partial, ignore_errors=True)
        yield
    finally:
        os.close(handle)


def wait_for_lock(handle: int, folder: Path, work: str) -> None:
    """Take the lock of a folder; say so where another process has it."""
    if fcntl is None:
        return
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"waiting for another process that {work} into {folder}", file=sys.stderr)
        fcntl.flock(handle, fcntl.LOCK_EX)
