"""The run folder: config, log, checkpoint, device and versions. For entry modules only."""

import json
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from distill.errors import RunError
from distill.outer import processes
from distill.sets.folders import Owner, list_removable
from distill.sets.provenance import PLACES
from distill.sets.storage import is_within, write_text

fcntl: Any


try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


PARTS = ("start", "experts")  # folders in the folder of a run
KEYS = {"n", "labels", "network", "init", "inner_steps", "outer_steps", "seed"}  # of every run's settings


def is_config(content: Any) -> bool:
    """Whether a value is what config.json of a run holds; other programs have files of that name, too."""
    return isinstance(content, dict) and content.keys() >= KEYS


RUN = Owner(
    "a run",
    "config.json",
    is_config,
    (
        "config.json", "log.jsonl", "checkpoint.pt", "history.pt", "set.pt", "curve.png", "images.png",
        "sentences.png", "sentences.txt", "sentences.csv", "report.html", "compare.json", "compare.png",
        "events.out.tfevents.*", "start/*", "experts/*",
    ),
    "another run: --resume {folder} goes on with it, --overwrite replaces it",
    RunError,
)  # fmt: skip


def is_restart(path: Path) -> bool:
    """Whether torchrun has started the run of this folder again, after one of its processes had ended."""
    return processes.restarts() > 0 and (path / "config.json").is_file()


def check_free(path: Path, overwrite: bool, settings: Mapping[str, Any]) -> None:
    """Raise RunError where a new run at path would overwrite something, or what its settings have it read."""
    if list_removable(path, RUN, overwrite):
        settings = {**settings, **settings.get("method_options", {})}
        for place in (str(settings[name]) for name in PLACES if settings.get(name)):
            if os.path.exists(place) and is_within(Path(place), path):
                raise RunError(f"{place} is in {path}, which --overwrite replaces: give --out another folder")


def create(path: Path, overwrite: bool, config: dict[str, Any]) -> Path:
    """A new run folder with its config.json. Raises RunError where another run is, or no place to write."""
    try:
        for file in list_removable(path, RUN, overwrite):
            file.unlink()
        for name in PARTS:
            remove_empty(path / name)
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{path} cannot be written ({error.strerror}): give --out another folder") from None
    write_text(path / "config.json", json.dumps(config, indent=2) + "\n")
    return path


def remove_empty(folder: Path) -> None:
    """Remove a folder that is there and holds nothing."""
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


@contextmanager
def lock_folder(folder: Path, files: Iterable[str] = ("*",)) -> Iterator[None]:
    """Hold the run folder, made if it is not there, against other runs. Raises RunError where one holds it.

    files: the names, as patterns, of what runs write there: what a killed run was writing of them is removed.
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
    for part in [part for name in files for part in folder.glob(f".{name}.part")]:
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
        raise RunError(f"{path} is damaged: start the run anew in another folder") from None
    if not isinstance(config, dict):
        raise RunError(f"{path} is damaged: start the run anew in another folder")
    return config
