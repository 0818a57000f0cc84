"""`distill export SET.pt --to FORMAT --out FOLDER`: write a set in a format for others."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.commands.cli import run_command
from distill.errors import UserError
from distill.registry import option
from distill.sets.formats import WRITERS, formats_with, select_writer


@dataclass(frozen=True)
class ExportSettings:
    """Write a distilled set as a folder for others; each format also holds the whole set."""

    set: str = option(metavar="SET", positional=True)
    """The distilled set: a .pt file, or an exported folder."""
    to: str = option("hf", "FORMAT", choices=WRITERS, noun="format")
    """The format."""
    out: str | None = option(None, "FOLDER")
    """The folder to write (default: SET-FORMAT, in the folder of the set)."""
    license: str | None = option(None, "LICENCE", needs={"to": formats_with("license")})
    """With --to hf: the licence on the card, e.g. mit (default: that of the bundled data, else unknown)."""
    channels: int | None = option(None, "COUNT", above=0, at_most=3, needs={"to": formats_with("channels")})
    """With --to images: 3 repeats grey images, as DD-Ranking needs them."""
    size: int | None = option(None, "PIXELS", above=0, at_most=1024, needs={"to": formats_with("size")})
    """With --to images: height and width; a black border is added."""
    overwrite: bool = option(False)
    """Replace the export that is in the folder --out."""
    json: bool = option(False)
    """Also print the result, as one line of JSON at the end."""


SETTINGS = ExportSettings


def export_set(config: ExportSettings) -> dict[str, Any]:
    """Read the set, write the folder, print where; the result for the JSON line. Raises UserError."""
    from distill.sets.formats.base import is_public, load_set
    from distill.sets.storage import is_within, with_final_name

    source = with_final_name(config.set)
    if is_public(source):
        raise UserError(f"{source} is a public format: `distill import` makes a set of it first")
    data = load_set(source)
    path = Path(config.out or source.with_name(f"{source.stem}-{config.to}"))
    if is_within(source, path):
        raise UserError(f"{path} is, or holds, the set that is read: give --out another folder")
    select_writer(config.to, vars(config))(data, path, overwrite=config.overwrite)
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    hint = f"\nto share it: hf upload USER/NAME {path} --repo-type dataset" if config.to == "hf" else ""
    print(f"{path} ({data.count('items')}, {size / 1e3:.0f} kB){hint}")
    return {"path": str(path), "to": config.to, "bytes": size}


def main(arguments: Sequence[str] | None = None, prog: str = "distill export") -> int:
    """Parse, then import torch and run; the exit code."""
    return run_command(SETTINGS, export_set, arguments, prog)
