"""A set of images as the folder that DD-Ranking evaluates: tensors, PNGs by class, a csv of labels.

DD-Ranking (Li et al. 2025) takes `image_tensor=torch.load("images.pt")` and `soft_labels=` or `hard_labels=`
such a file, or `image_path="images"`, one subfolder per class. The folder holds

    images.pt         float32 (n, channels, height, width), normalised by DD-Ranking's own mean and std
    labels.pt         float (n, classes), the soft labels as they are
    hard_labels.pt    long (n,), the class of the largest label; items are sorted by it, as DD-Ranking
                      expects where no hard labels are given
    images/003_cat/0000.png
    labels.csv        file, item (its place in the set), class, share of its pixels that was clipped, labels
    set.safetensors, set.json    the whole set, to the bit
    README.md

What is lost: PNGs round to eight bits and clip to [0, 1], and a folder has no soft labels; DD-Ranking's
soft cross-entropy takes the softmax of the labels; its training does not use the schedule and its rates;
the whitening of items is undone. A class without an image keeps an empty folder, so that the numbers of the
other classes do not change; torchvision refuses empty folders, and then only the tensors can be used.
"""

import csv
import os
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from distill.data.whiten import to_pixels
from distill.errors import SetError
from distill.sets.distilled import DistilledSet
from distill.sets.formats.base import draw_images
from distill.sets.formats.safetensors import export_folder
from distill.sets.provenance import without_places
from distill.sets.public.normalisation import VICO_MOMENTS, Moments, find_moments
from distill.sets.storage import write_tensors

if TYPE_CHECKING:
    from PIL.Image import Image


def write_set(
    data: DistilledSet, path: str | os.PathLike[str], license: str | None = None, overwrite: bool = False
) -> Path:
    """The folder of this module's docstring. Raises SetError, UserError without the package safetensors."""
    data = without_places(data)
    pictures = draw_images(data)
    if not pictures:
        raise SetError(
            "--to images is for grey or coloured images whose mean and std the set holds; its items are"
            f" {tuple(data.items.shape[1:])}"
        )
    classes = data.labels.detach().cpu().argmax(dim=1)
    order = classes.argsort(stable=True)
    pixels = to_pixels(data.items.detach(), data.source).cpu()
    clipped = ((pixels < 0) | (pixels > 1)).flatten(1).float().mean(dim=1)
    with export_folder(data, path, overwrite) as folder:
        moments = write_tensor_files(folder, data, pixels[order], order, classes[order])
        files = [image_file(data, int(classes[i]), place) for place, i in enumerate(order.tolist())]
        write_images(folder, data, files, [pictures[i] for i in order.tolist()])
        write_csv(folder / "labels.csv", data, files, order, clipped)
        readme = render_readme(data, float(clipped.mean()), moments)
        (folder / "README.md").write_text(readme, encoding="utf-8")
    return Path(path)


def write_tensor_files(
    folder: Path, data: DistilledSet, pixels: Tensor, order: Tensor, classes: Tensor
) -> Moments:
    """Write the three .pt files; the mean and std that images.pt is normalised by."""
    set_moments = tuple(data.source["mean"]), tuple(data.source["std"])
    moments = find_moments(VICO_MOMENTS, data.source["name"], pixels.shape[1]) or set_moments
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in moments)
    write_tensors(folder / "images.pt", ((pixels - mean) / std).float())
    write_tensors(folder / "labels.pt", data.labels.detach().cpu()[order])
    write_tensors(folder / "hard_labels.pt", classes)
    return moments


def write_images(folder: Path, data: DistilledSet, files: list[str], pictures: "list[Image]") -> None:
    """A subfolder for each class, and the pictures in them."""
    for label in range(data.labels.shape[1]):
        (folder / image_file(data, label, 0)).parent.mkdir(parents=True)
    for file, picture in zip(files, pictures, strict=True):
        picture.save(folder / file)


def image_file(data: DistilledSet, label: int, place: int) -> str:
    """'images/003_cat/0000.png': the names of the subfolders sort in the order of the classes."""
    name = "".join(c if c.isalnum() or c in "-." else "-" for c in str(data.source["classes"][label]))
    return f"images/{label:03d}_{name}/{place:04d}.png"


def write_csv(path: Path, data: DistilledSet, files: list[str], order: Tensor, clipped: Tensor) -> None:
    """A line per image, with a column per class for its label."""
    names = [str(name) for name in data.source["classes"]]
    with open(path, "w", encoding="utf-8", newline="") as file:
        lines = csv.writer(file)
        lines.writerow(["file", "item", "class", "clipped", *(f"label {name}" for name in names)])
        for image, i in zip(files, order.tolist(), strict=True):
            label = data.labels[i].tolist()
            lines.writerow([image, i, names[label.index(max(label))], f"{float(clipped[i]):.4f}", *label])


def render_readme(data: DistilledSet, clipped: float, moments: Moments) -> str:
    """README.md: what the folder holds."""
    mean, std = moments
    white = " The set's items are whitened; images.pt and the PNGs are not." if data.source.get("zca") else ""
    return f"""# {data.source["name"]}, distilled into {len(data)} images

For DD-Ranking:

    images, labels = torch.load("images.pt"), torch.load("labels.pt")
    SoftLabelEvaluator(...).compute_metrics(image_tensor=images, soft_labels=labels)

`images.pt` is normalised by mean {list(mean)} and std {list(std)}.{white} Items are sorted by the class of
their largest label (`hard_labels.pt`). DD-Ranking's soft cross-entropy takes the softmax of `labels.pt`; our
own loss takes the labels as they are.

`images/` holds the same as PNGs, one folder per class: eight bits, clipped to [0, 1]. {100 * clipped:.1f} %
of the pixels were out of that range; `labels.csv` holds the share per image, and the soft labels.

`set.safetensors` and `set.json` are the whole set with its recipe: `distill.from_folder(FOLDER)`.
"""
