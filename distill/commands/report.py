"""`distill report RUN_OR_SET…`: one HTML page that shows distilled sets, and the runs that they came from."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, arg

from distill.commands.cli import answer, parse
from distill.errors import RunError, UserError

if TYPE_CHECKING:
    from distill.report.items import Shown


@dataclass(frozen=True)
class ReportConfig:
    """Write one HTML page, which needs nothing else, of distilled sets and of their runs."""

    paths: Annotated[Positional[tuple[str, ...]], arg(metavar="RUN_OR_SET…")]
    """Run folders, or sets (.pt files); several are set side by side."""
    out: str = "report.html"
    """Where the page is written; an older one is replaced."""
    json: bool = False
    """End with one line of JSON on stdout."""


def report(config: ReportConfig) -> dict[str, Any]:
    """Write the page and name it; the result as the JSON line tells it. Raises UserError."""
    path = Path(config.out)
    check(config.paths, path)
    from distill.report.page import write

    shown = opened(config.paths)
    try:
        write(path, shown)
    except OSError as error:
        raise UserError(f"{path} cannot be written ({error.strerror}): choose another --out") from None
    print(f"{path} ({path.stat().st_size / 1e3:,.0f} kB)")
    return {"path": str(path), "bytes": path.stat().st_size, "sets": [one.name for one in shown]}


def check(paths: Sequence[str], out: Path) -> None:
    """Raise UserError where there is nothing to show, or no place for the page."""
    if not paths:
        raise UserError("name a run folder or a set (.pt) to show")
    if out.suffix != ".html" or out.is_dir():
        raise UserError(f"--out {out} must name a file that ends in .html")
    if not out.parent.is_dir():
        raise UserError(f"{out} cannot be written (there is no folder {out.parent}): choose another --out")


def opened(paths: Sequence[str]) -> "list[Shown]":
    """Each argument's set and run, under names that tell them apart. Raises UserError."""
    names = Counter(map(name, paths))
    return [one(path, name(path) if names[name(path)] == 1 else path) for path in paths]


def name(path: str) -> str:
    """What a reader calls it: the run's folder, or the file without its ending."""
    place = Path(os.path.abspath(path))
    return place.parent.name if place.name == "set.pt" else place.name.removesuffix(".pt")


def one(path: str, called: str) -> "Shown":
    """The set of a run folder with its log and history, or that of a .pt or an export. Raises UserError."""
    from distill.report.items import Shown
    from distill.runs.files.history import read
    from distill.runs.files.log import read_log
    from distill.sets.distilled import DistilledSet
    from distill.sets.formats.base import is_export, load_set

    place = Path(path)
    if not place.is_dir() or is_export(place):
        return Shown(called, load_set(place))
    if not (place / "set.pt").is_file():
        raise RunError(f"{place} holds no set.pt: it is not a run, or --resume {place} has yet to end it")
    return Shown(called, DistilledSet.load(place / "set.pt"), read_log(place), read(place))


def main(arguments: Sequence[str] | None = None, prog: str = "distill report") -> int:
    """Parse, then import torch and run; the exit code."""
    config = parse(ReportConfig, arguments, prog)
    return answer(lambda: report(config), config.json)
