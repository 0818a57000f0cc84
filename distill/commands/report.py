"""`distill report RUN_OR_SET…`: one HTML page that shows distilled sets and runs, or runs of recipes."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.commands.cli import run_command
from distill.errors import UserError
from distill.registry import option


@dataclass(frozen=True)
class ReportSettings:
    """Write one HTML page about distilled sets and their runs. It needs no other file and no network."""

    paths: tuple[str, ...] = option((), "RUN_OR_SET", positional=True)
    """Run folders, sets (.pt files), exported folders, or runs of `distill teach`; several are compared."""
    out: str = option("report.html", "FILE")
    """The file of the page; an older one is replaced."""
    json: bool = option(False)
    """Also print the result, as one line of JSON at the end."""


SETTINGS = ReportSettings


def report(config: ReportSettings) -> dict[str, Any]:
    """Write the page and print its name; the result as the JSON line has it. Raises UserError."""
    path = Path(config.out)
    check_paths(config.paths, path)
    from distill.runs.recipes.pages import write_report
    from distill.sets.storage import check_output

    check_output(path, (p / "set.pt" if p.is_dir() else p for p in map(Path, config.paths)))
    names = write_report(path, config.paths)
    print(f"{path} ({path.stat().st_size / 1e3:,.0f} kB)")
    return {"path": str(path), "bytes": path.stat().st_size, "sets": names}


def check_paths(paths: Sequence[str], out: Path) -> None:
    """Raise UserError where there is nothing to show, or no place for the page."""
    if not paths:
        raise UserError("name a run folder or a set (.pt) to show")
    if out.suffix != ".html" or out.is_dir():
        raise UserError(f"--out {out} must name a file that ends in .html")


def main(arguments: Sequence[str] | None = None, prog: str = "distill report") -> int:
    """Parse, then import torch and run; the exit code."""
    return run_command(SETTINGS, report, arguments, prog)
