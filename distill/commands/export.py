"""`distill export SET.pt --to FORMAT --out FOLDER`: write a set in a format for others."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.commands.cli import print_result
from distill.commands.options import parse
from distill.errors import UserError, unknown
from distill.registry import load, option
from distill.sets.formats import WRITERS


@dataclass(frozen=True)
class ExportSettings:
    """Write a distilled set as a folder for others. Every format also holds the whole set, to the bit."""

    set: str = option(metavar="SET", positional=True)
    """The distilled set: a .pt file, or an exported folder."""
    to: str = option("hf", "FORMAT", choices=WRITERS)
    """The format."""
    out: str | None = option(None, "FOLDER")
    """The folder to write (default: SET-FORMAT, in the folder of the set)."""
    license: str | None = option(None, "LICENCE")
    """With --to hf: the licence that the card states, e.g. mit (default: that of the bundled data, else
    unknown)."""
    overwrite: bool = option(False)
    """Replace the export that is in the folder --out."""
    json: bool = option(False)
    """Also print the result, as one line of JSON at the end."""


SETTINGS = ExportSettings


def export_set(config: ExportSettings) -> dict[str, Any]:
    """Read the set, write the folder, print where; the result for the JSON line. Raises UserError."""
    if config.to not in WRITERS:
        raise UserError("--to: " + unknown("format", config.to, WRITERS))
    from distill.sets.formats.base import is_public, load_set
    from distill.sets.storage import is_within

    source = Path(config.set)
    if is_public(source):
        raise UserError(f"{source} is a public format: `distill import` makes a set of it first")
    path = Path(config.out or source.with_name(f"{source.stem}-{config.to}"))
    if is_within(source, path):
        raise UserError(f"{path} is, or holds, the set that is read: give --out another folder")
    data = load_set(source)
    load(WRITERS[config.to]).write_set(data, path, config.license, config.overwrite)
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    hint = f"\nto share it: hf upload USER/NAME {path} --repo-type dataset" if config.to == "hf" else ""
    print(f"{path} ({len(data)} items, {size / 1e3:.0f} kB){hint}")
    return {"path": str(path), "to": config.to, "bytes": size}


def main(arguments: Sequence[str] | None = None, prog: str = "distill export") -> int:
    """Parse, then import torch and run; the exit code."""
    config = parse(SETTINGS, arguments, prog)
    return print_result(lambda: export_set(config), config.json)
