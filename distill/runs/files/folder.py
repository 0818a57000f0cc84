"""The run folder: config, log, checkpoint, device and versions. For entry modules only."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from distill.errors import RunError
from distill.sets.storage import write_text

fcntl: Any


try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


def check_free(path: Path, overwrite: bool) -> None:
    """Raise RunError where a new run at path would overwrite something."""
    if path.exists() and not path.is_dir():
        raise RunError(f"{path} is a file: give --out a folder")
    if path.is_dir() and any(not child.match(".*.part") for child in path.iterdir()):
        if not (path / "config.json").is_file():
            raise RunError(f"{path} holds files that are not a run: give --out another folder")
        if not overwrite:
            raise RunError(
                f"{path} holds another run: --resume {path} goes on with it, --overwrite replaces it"
            )


def create(path: Path, overwrite: bool, config: dict[str, Any]) -> Path:
    """A new run folder with its config.json. Raises RunError where another run is, or no place to write."""
    check_free(path, overwrite)
    try:
        path.mkdir(parents=True, exist_ok=True)
        for child in sorted(path.iterdir(), key=lambda child: child.name == "config.json"):
            shutil.rmtree(child) if child.is_dir() else child.unlink()
        write_text(path / "config.json", json.dumps(config, indent=2) + "\n")
    except OSError as error:
        raise RunError(f"{path} cannot be written ({error.strerror}): give --out another folder") from None
    return path


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Hold the run folder, made if it is not there, against other runs. Raises RunError where one holds it.

    The lock is on the folder itself and goes with the process however it ends, so that nothing is left to
    clean up after a kill. Systems without flock go without.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder} cannot be written ({error.strerror}): give --out another folder") from None
    if fcntl is None:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        raise RunError(
            f"{folder} is in use by another run: wait for its end, or give --out another"
        ) from None
    for part in folder.glob(".*.part"):  # what a killed run was writing
        part.unlink()
    try:
        yield
    finally:
        os.close(handle)


def read_config(folder: Path) -> dict[str, Any]:
    """The config.json of a run to be resumed."""
    path = folder / "config.json"
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(f"{folder} is not a run: it has no config.json") from None
    except (OSError, ValueError, RecursionError):
        raise RunError(f"{path} is damaged: start the run anew with --overwrite") from None
    if not isinstance(config, dict):
        raise RunError(f"{path} is damaged: start the run anew with --overwrite")
    return config
