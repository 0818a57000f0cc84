"""`distill export SET.pt --to hf|images|safetensors --out FOLDER`: a set for others to use."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tyro.conf import Positional

from distill.commands.cli import answer, parse
from distill.errors import UserError, unknown

FORMATS = ("hf", "images", "safetensors")


@dataclass(frozen=True)
class ExportConfig:
    """Write a distilled set as a folder for others; each holds the whole set, and is read back to the bit."""

    set: Positional[str]
    """The distilled set: a .pt file, or an exported folder."""
    to: str = "hf"
    """hf (a Hugging Face folder: parquet and card, to be uploaded as it is), images (PNGs, tensors and a csv,
    as DD-Ranking reads them) or safetensors (set.safetensors and set.json)."""
    out: str | None = None
    """The folder to write (default: SET-hf, SET-images or SET-safetensors beside the set)."""
    license: str | None = None
    """With --to hf: the licence that the card states, e.g. mit (default: that of the bundled data, else
    unknown)."""
    overwrite: bool = False
    """Replace the export that is in the folder."""
    json: bool = False
    """End with one line of JSON on stdout."""


def export(config: ExportConfig) -> dict[str, Any]:
    """Read, write, say where; the result as the JSON line tells it. Raises UserError."""
    if config.to not in FORMATS:
        raise UserError("--to: " + unknown("format", config.to, FORMATS))
    from distill.sets.formats import atomic, safetensors
    from distill.sets.formats import ddranking as ranking
    from distill.sets.formats import huggingface as hub
    from distill.sets.formats.public_files import is_public

    old = Path(config.set)
    if not atomic.is_export(old) and is_public(old):
        raise UserError(f"{old} is a public format: `distill import` makes a set of it first")
    path = Path(config.out or old.with_name(f"{old.stem}-{config.to}"))
    data = safetensors.load(old)
    if config.to == "hf":
        hub.to_folder(data, path, config.license, config.overwrite)
    else:
        {"images": ranking, "safetensors": safetensors}[config.to].to_folder(data, path, config.overwrite)
    size = sum(p.stat().st_size for p in path.rglob("*") if p.is_file())
    print(f"{path} ({len(data)} items, {size / 1e3:.0f} kB)")
    if config.to == "hf":
        print(f"to share it: hf upload USER/NAME {path} --repo-type dataset")
    return {"path": str(path), "to": config.to, "bytes": size}


def main(arguments: Sequence[str] | None = None, prog: str = "distill export") -> int:
    """Parse, then import torch and run; the exit code."""
    config = parse(ExportConfig, arguments, prog)
    return answer(lambda: export(config), config.json)
