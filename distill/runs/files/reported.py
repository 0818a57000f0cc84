"""Opens run folders, sets and exported folders for the report. The report itself knows no run folder."""

import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from distill.errors import RunError
from distill.report.sanitise import JsonDict
from distill.report.snapshots import ReportedSet
from distill.runs.files.history import read_history
from distill.runs.files.log import read_log
from distill.sets.distilled import DistilledSet
from distill.sets.formats.base import is_export, load_set


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
        beside = None if folder.is_dir() else read_comparison(folder)
        return ReportedSet(name, load_set(folder), path=path, comparison=beside)
    if not (folder / "set.pt").is_file():
        raise RunError(
            f"{folder} holds no set.pt: it is not a run, or --resume {folder} has yet to finish it"
        )
    return read_run(folder, DistilledSet.load(folder / "set.pt"), name)


def read_run(folder: Path, data: DistilledSet, name: str) -> ReportedSet:
    """A run folder's set with its log, history and comparison. Raises RunError."""
    path = folder / "set.pt"
    return ReportedSet(name, data, read_log(folder), read_history(folder), str(path), read_comparison(path))


def read_comparison(path: Path) -> JsonDict | None:
    """What `distill compare` wrote of the set at path into its folder; None where it did not."""
    try:
        content = json.loads((path.parent / "compare.json").read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    place = content.get("set") if isinstance(content, dict) else None
    same = isinstance(place, str) and place.replace("\\", "/").split("/")[-1] in (path.name, path.parent.name)
    return content if same else None
