"""A set of images as the folder that DD-Ranking evaluates: tensors, PNGs by class, a csv of labels.

DD-Ranking (Li et al. 2025) takes `image_tensor=torch.load("images.pt")` and `soft_labels=` or `hard_labels=`
such a file, or `image_path="images"`, one subfolder per class. We write

    images.pt         float32 (n, channels, height, width), normalised by DD-Ranking's own mean and std
    labels.pt         float (n, classes), the soft labels as they are
    hard_labels.pt    long (n,), the class of the largest label; items are sorted by it, as DD-Ranking
                      expects where no hard labels are given
    images/003_cat/0000.png
    labels.csv        file, item (its place in the set), class, share of its pixels that was clipped, labels
    set.safetensors, set.json    the whole set, exactly
    README.md

What is lost: PNGs round to eight bits and clip to [0, 1], and a folder has no soft labels; DD-Ranking's
soft cross-entropy takes the softmax of the labels; the schedule and its rates have no place in its training;
whitened items are given unwhitened. A class without an image keeps an empty folder, which torchvision
refuses: without it the classes would be numbered anew. Use the tensors then.
"""

import csv
import os
from pathlib import Path

import torch
from torch import Tensor

from distill.data.whiten import to_pixels
from distill.errors import SetError, require
from distill.sets.distilled import DistilledSet
from distill.sets.formats.atomic import whole
from distill.sets.formats.huggingface import images
from distill.sets.formats.public import ZHAO, constants
from distill.sets.formats.safetensors import put
from distill.sets.storage import write


def to_folder(data: DistilledSet, path: str | os.PathLike[str], overwrite: bool = False) -> Path:
    """The folder of this module's docstring. Raises SetError, UserError without the package safetensors."""
    require("safetensors", "share")
    pictures, classes = images(data), data.labels.detach().cpu().argmax(dim=1)
    if not pictures:
        raise SetError(
            "--to images is for grey or coloured images whose mean and std the set tells; its items are"
            f" {tuple(data.items.shape[1:])}"
        )
    order = classes.argsort(stable=True)
    pixels = to_pixels(data.items.detach(), data.source).cpu()
    clipped = ((pixels < 0) | (pixels > 1)).flatten(1).float().mean(dim=1)
    with whole(path, overwrite) as folder:
        mean, std = tensors(folder, data, pixels[order], order, classes[order])
        files = [file_of(data, int(classes[i]), place) for place, i in enumerate(order.tolist())]
        for label in range(data.labels.shape[1]):
            (folder / file_of(data, label, 0)).parent.mkdir(parents=True)
        for file, i in zip(files, order.tolist(), strict=True):
            pictures[i].save(folder / file)
        write_csv(folder / "labels.csv", data, files, order, clipped)
        put(data, folder)
        (folder / "README.md").write_text(readme(data, float(clipped.mean()), mean, std), encoding="utf-8")
    return Path(path)


def tensors(
    folder: Path, data: DistilledSet, pixels: Tensor, order: Tensor, classes: Tensor
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Write the three .pt files; the mean and std that images.pt is normalised by."""
    own = tuple(data.source["mean"]), tuple(data.source["std"])
    mean, std = constants(ZHAO, data.source["name"], pixels.shape[1]) or own
    shift, scale = (torch.tensor(v).view(-1, 1, 1) for v in (mean, std))
    write(folder / "images.pt", ((pixels - shift) / scale).float())
    write(folder / "labels.pt", data.labels.detach().cpu()[order])
    write(folder / "hard_labels.pt", classes)
    return mean, std


def file_of(data: DistilledSet, label: int, place: int) -> str:
    """'images/003_cat/0000.png': in the order of the classes where sorted by name."""
    name = "".join(c if c.isalnum() or c in "-." else "-" for c in str(data.source["classes"][label]))
    return f"images/{label:03d}_{name}/{place:04d}.png"


def write_csv(path: Path, data: DistilledSet, files: list[str], order: Tensor, clipped: Tensor) -> None:
    """A line per image; a column per class holds its label."""
    names = [str(name) for name in data.source["classes"]]
    with open(path, "w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["file", "item", "class", "clipped", *(f"label {name}" for name in names)])
        for name, i in zip(files, order.tolist(), strict=True):
            label = data.labels[i].tolist()
            lines.writerow([name, i, names[label.index(max(label))], f"{float(clipped[i]):.4f}", *label])


def readme(data: DistilledSet, clipped: float, mean: tuple[float, ...], std: tuple[float, ...]) -> str:
    """What the folder holds, in words."""
    white = " The set's items are whitened; images.pt and the PNGs are not." if data.source.get("zca") else ""
    return f"""# {data.source["name"]}, distilled into {len(data)} images

For DD-Ranking:

    images, labels = torch.load("images.pt"), torch.load("labels.pt")
    SoftLabelEvaluator(...).compute_metrics(image_tensor=images, soft_labels=labels)

`images.pt` is normalised by mean {list(mean)} and std {list(std)}.{white} Items are sorted by the class of
their largest label (`hard_labels.pt`). DD-Ranking's soft cross-entropy takes the softmax of `labels.pt`; our
own loss takes the labels as they are.

`images/` holds the same as PNGs, one folder per class: eight bits, clipped to [0, 1]. {100 * clipped:.1f} %
of the pixels were out of that range; `labels.csv` tells the share per image, and the soft labels.

`set.safetensors` and `set.json` are the whole set with its recipe: `distill.from_folder(FOLDER)`.
"""
