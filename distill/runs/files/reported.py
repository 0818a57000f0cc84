"""Opens run folders, sets and exported folders for the report. The report itself knows no run folder."""

import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from distill.errors import RunError
from distill.report.sanitise import JsonDict
from distill.report.snapshots import ReportedSet
from distill.runs.files.history import read_history
from distill.runs.files.log import read_log
from distill.sets.distilled import DistilledSet
from distill.sets.formats.base import is_export, load_set
from distill.sets.provenance import digest_set


def load_reported_sets(paths: Sequence[str]) -> list[ReportedSet]:
    """The set and the run at each path, under names that tell them apart. Raises UserError."""
    names = Counter(map(name_path, paths))
    return [load_reported_set(p, name_path(p) if names[name_path(p)] == 1 else p) for p in paths]


def name_path(path: str) -> str:
    """What a reader calls it: the run's folder, or the file without its ending."""
    place = Path(os.path.abspath(path))
    return place.parent.name if place.name == "set.pt" else place.name.removesuffix(".pt")


def load_reported_set(path: str, name: str) -> ReportedSet:
    """The set of a run folder with its log and history, or that of a .pt or an export. Raises UserError."""
    folder = Path(path)
    if not folder.is_dir() or is_export(folder):
        data = load_set(folder)
        beside = None if folder.is_dir() else read_comparison(folder, data)
        return ReportedSet(name, data, path=path, comparison=beside)
    if not (folder / "set.pt").is_file():
        raise RunError(
            f"{folder} holds no set.pt: it is not a run, or --resume {folder} has yet to finish it"
        )
    return read_run(folder, DistilledSet.load(folder / "set.pt"), name)


def read_run(folder: Path, data: DistilledSet, name: str) -> ReportedSet:
    """A run folder's set with its log, history and comparison. Raises RunError."""
    path = folder / "set.pt"
    comparison = read_comparison(path, data)
    return ReportedSet(name, data, read_log(folder), read_history(folder), str(path), comparison)


def read_comparison(path: Path, data: DistilledSet) -> JsonDict | None:
    """What `distill compare` wrote of this set into the folder of its file; None where it did not."""
    place = path.parent / "compare.json"
    try:
        content = json.loads(place.read_bytes())
        is_older = path.exists() and path.stat().st_mtime > place.stat().st_mtime
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(content, dict):
        return None
    if "digest" in content:
        return content if content["digest"] == digest_set(data) else None
    return content if has_name(content.get("set"), path) and not is_older else None


def has_name(place: Any, path: Path) -> bool:
    """Whether a compare.json without a digest, as older ones are, names this file or its folder."""
    return isinstance(place, str) and place.replace("\\", "/").split("/")[-1] in (path.name, path.parent.name)
