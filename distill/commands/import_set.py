"""`distill import FILE --dataset mnist --out set.pt`: a public file, or an export, as a .pt."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from distill.commands.cli import run_command
from distill.registry import option
from distill.sets.formats import PUBLIC_READERS, SET_READERS
from distill.sets.public.options import ImportOptions


@dataclass(frozen=True)
class ImportSettings(ImportOptions):
    """Turn a public file of distilled images, or an exported folder, into a set (.pt) with its recipe."""

    file: str = option(metavar="FILE", positional=True, choices=SET_READERS | PUBLIC_READERS, file="")
    """A file or folder; its content decides its format."""
    dataset: str | None = option(None, "DATA")
    """The real data that a public file was made from: mnist, cifar-10 …, an .npz or a folder of images
    (default: what the name of a res_*.pt says)."""
    data_dir: str | None = option(None, "FOLDER")
    """Where the files of a named data set are."""
    out: str = option("set.pt", "FILE")
    """The .pt to write."""
    overwrite: bool = option(False)
    """Replace the file --out."""
    json: bool = option(False)
    """Also print the result, as one line of JSON at the end."""


SETTINGS = ImportSettings


def import_set(config: ImportSettings) -> dict[str, Any]:
    """Read the file, write the set, print its remarks; the result for the JSON line. Raises UserError."""
    from distill.sets.public.build import import_file
    from distill.sets.storage import check_output
    from distill.student.training import build_set_augmentation, build_set_network

    path = Path(config.out)
    check_output(path, [config.file, config.dataset], config.overwrite)
    data = import_file(config.file, config.dataset, config.data_dir, config)
    build_set_augmentation(data)
    build_set_network(data)
    data.save(path)
    for remark in data.provenance.get("remarks", []):
        print(f"- {remark}")
    shape = "×".join(map(str, data.items.shape[1:]))
    print(f"{path}: {len(data)} items {shape}, {len(data.lrs)} steps, {data.network['name']}")
    return {"path": str(path), "items": len(data), "steps": len(data.lrs), "network": data.network["name"]}


def main(arguments: Sequence[str] | None = None, prog: str = "distill import") -> int:
    """Parse, then import torch and run; the exit code."""
    return run_command(SETTINGS, import_set, arguments, prog)
