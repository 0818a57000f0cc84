"""`distill import FILE --dataset mnist --out set.pt`: a set in a public format, or an export, as our .pt."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tyro.conf import Positional

from distill.commands.cli import answer, parse
from distill.errors import UserError

if TYPE_CHECKING:
    from distill.sets.distilled import DistilledSet


@dataclass(frozen=True)
class ImportConfig:
    """Turn a public file of distilled images, or an exported folder, into a .pt with an honest recipe."""

    file: Positional[str]
    """results.pth (SsnL, ilia10000), res_*.pt (VICO: DC, DSA, DM), the folder of images_best.pt and
    labels_best.pt (MTT, DATM), or a folder of `distill export`."""
    dataset: str | None = None
    """The real data that a public file was made from: mnist, cifar-10 …, an .npz file or a folder of
    images."""
    data_dir: str | None = None
    """Where the files of a named data set are."""
    out: str = "set.pt"
    """The .pt to write."""
    experiment: int = -1
    """Of a res_*.pt: which of its experiments (default: the last)."""
    epochs: int | None = None
    """Epochs of training (default: 300 for DC, 1000 for DSA, DM, MTT and DATM); of a results.pth, how often
    its steps are run through (default: once, for it holds the steps of all its epochs)."""
    lr: float | None = None
    """Learning rate (default: the file's, else 0.01)."""
    augment: str | None = None
    """Random changes of the images in training, as shift-scale-rotate, or "" for none (default: close to
    their code's)."""
    zca: bool = False
    """The images are whitened (MTT's and DATM's --zca)."""
    network: str | None = None
    """The network to train (default: theirs: lenet, alexcifarnet or convnet)."""
    overwrite: bool = False
    """Replace the file --out."""
    json: bool = False
    """End with one line of JSON on stdout."""


def adopt(config: ImportConfig) -> dict[str, Any]:
    """Read, write, say what was assumed; the result as the JSON line tells it. Raises UserError."""
    from distill.student.training import build_augmentation, build_network

    for name in ("epochs", "lr"):
        value = getattr(config, name)
        if value is not None and not value > 0:
            raise UserError(f"--{name} must be above 0, not {value:g}")
    path = Path(config.out)
    if path.exists() and not config.overwrite:
        raise UserError(f"{path} is there already: --overwrite replaces it, or give another --out")
    data = opened(config)
    build_augmentation(data)
    build_network(data)
    data.save(path)
    for remark in data.provenance.get("remarks", []):
        print(f"- {remark}")
    shape = "×".join(map(str, data.items.shape[1:]))
    print(f"{path}: {len(data)} items {shape}, {len(data.lrs)} steps, {data.network['name']}")
    return {"path": str(path), "items": len(data), "steps": len(data.lrs), "network": data.network["name"]}


def opened(config: ImportConfig) -> "DistilledSet":
    """The set in the file. Raises UserError."""
    from distill.data.images import load
    from distill.sets.formats.atomic import is_export
    from distill.sets.formats.public import read
    from distill.sets.formats.safetensors import from_folder

    if is_export(config.file):
        return from_folder(config.file)
    if config.dataset is None:
        raise UserError("--dataset is missing: a public file does not say what it was made from")
    train, _ = load(config.dataset, config.data_dir)
    return read(
        config.file, train, config.dataset, config.experiment, config.epochs, config.lr, config.augment,
        config.zca, config.network,
    )  # fmt: skip


def main(arguments: Sequence[str] | None = None, prog: str = "distill import") -> int:
    """Parse, then import torch and run; the exit code."""
    config = parse(ImportConfig, arguments, prog)
    return answer(lambda: adopt(config), config.json)
