"""`distill export SET.pt --to FORMAT --out FOLDER`: write a set in a format for others."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.commands.cli import run_command
from distill.errors import UserError
from distill.registry import load, option
from distill.sets.formats import WRITERS


@dataclass(frozen=True)
class ExportSettings:
    """Write a distilled set as a folder for others. Every format also holds the whole set, to the bit."""

    set: str = option(metavar="SET", positional=True)
    """The distilled set: a .pt file, or an exported folder."""
    to: str = option("hf", "FORMAT", choices=WRITERS, noun="format")
    """The format."""
    out: str | None = option(None, "FOLDER")
    """The folder to write (default: SET-FORMAT, in the folder of the set)."""
    license: str | None = option(None, "LICENCE", needs={"to": ("hf",)})
    """With --to hf: the licence that the card states, e.g. mit (default: that of the bundled data, else
    unknown)."""
    overwrite: bool = option(False)
    """Replace the export that is in the folder --out."""
    json: bool = option(False)
    """Also print the result, as one line of JSON at the end."""


SETTINGS = ExportSettings


def export_set(config: ExportSettings) -> dict[str, Any]:
    """Read the set, write the folder, print where; the result for the JSON line. Raises UserError."""
    from distill.sets.formats.base import is_public, load_set

    source = Path(config.set)
    if is_public(source):
        raise UserError(f"{source} is a public format: `distill import` makes a set of it first")
    path = Path(config.out or source.with_name(f"{source.stem}-{config.to}"))
    data = load_set(source)
    load(WRITERS[config.to]).write_set(data, path, config.license, config.overwrite)
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    print(f"{path} ({len(data)} items, {size / 1e3:.0f} kB)")
    if config.to == "hf":
        print(f"to share it: hf upload USER/NAME {path} --repo-type dataset")
    return {"path": str(path), "to": config.to, "bytes": size}


def main(arguments: Sequence[str] | None = None, prog: str = "distill export") -> int:
    """Parse, then import torch and run; the exit code."""
    return run_command(SETTINGS, export_set, arguments, prog)
