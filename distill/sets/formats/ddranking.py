"""A set of images as the folder that DD-Ranking evaluates: tensors, PNGs by class, a csv of labels.

DD-Ranking (Li et al. 2025; ddranking 0.2.0 on PyPI) takes `image_tensor=torch.load("images.pt")` with
`hard_labels=` or `soft_labels=`, or `image_path="images"`, one subfolder per class. The folder holds

    images.pt         float32 (n, channels, height, width), normalised by DD-Ranking's own mean and std
    labels.pt         float (n, classes), the soft labels as they are
    hard_labels.pt    long (n,), the class of the largest label; items are sorted by it, as DD-Ranking
                      expects where no hard labels are given
    images/003_cat/0000.png
    labels.csv        file, item (its place in the set), class, share of its pixels that was clipped, labels
    set.safetensors, set.json    the whole set, to the bit
    README.md

Its networks read three channels and, by default, 32×32 pixels: `channels=3, size=32` repeats grey ones and
adds a black border in images.pt and the PNGs.

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
import torch.nn.functional as F
from torch import Tensor

from distill.data.whiten import is_prepared, to_pixels
from distill.errors import SetError
from distill.sets.distilled import DistilledSet
from distill.sets.formats.base import can_be_drawn, draw_pixels
from distill.sets.formats.safetensors import export_folder
from distill.sets.provenance import without_places
from distill.sets.public.normalisation import VICO_MOMENTS, Moments, find_moments, simplify_name
from distill.sets.storage import write_tensors

if TYPE_CHECKING:
    from PIL.Image import Image

DATASETS = ("CIFAR10", "CIFAR100", "TinyImageNet", "ImageNette", "ImageWoof", "ImageNet1K")  # of DD-Ranking
MAX_SIZE = 1024  # pixels


def write_set(
    data: DistilledSet,
    path: str | os.PathLike[str],
    license: str | None = None,
    overwrite: bool = False,
    channels: int | None = None,
    size: int | None = None,
) -> Path:
    """The folder of this module's docstring. channels, size: of its images (default: as they are).

    Raises SetError, UserError without the package safetensors.
    """
    data = without_places(data)
    if not can_be_drawn(data):
        own = ", floats whose black and white nobody knows" if is_prepared(data.source) else ""
        raise SetError(
            "--to images is for grey or coloured images whose mean and std the set holds; its items are"
            f" {tuple(data.items.shape[1:])}{own}: give --to hf, or safetensors"
        )
    classes = data.labels.detach().cpu().argmax(dim=1)
    order = classes.argsort(stable=True)
    pixels = to_pixels(data.items.detach(), data.source).cpu()
    clipped = ((pixels < 0) | (pixels > 1)).flatten(1).float().mean(dim=1)
    pixels = pad_images(pixels[order], channels, size)
    moments = find_image_moments(data, pixels.shape[1])
    with export_folder(data, path, overwrite) as folder:
        write_tensor_files(folder, data, pixels, order, classes[order], moments)
        files = [image_file(data, int(classes[i]), place) for place, i in enumerate(order.tolist())]
        write_images(folder, data, files, draw_pixels(pixels))
        write_csv(folder / "labels.csv", data, files, order, clipped)
        readme = render_readme(data, float(clipped.mean()), moments, pixels)
        (folder / "README.md").write_text(readme, encoding="utf-8")
    return Path(path)


def pad_images(pixels: Tensor, channels: int | None, size: int | None) -> Tensor:
    """Grey images in so many equal channels, inside a black border of size × size. Raises SetError."""
    n, own, height, width = pixels.shape
    if channels not in (None, own, 3) or (channels == 1 and own == 3):
        raise SetError(f"--channels {channels}: images of {own} channel(s) can be written with {own} or 3")
    if size is not None and not max(height, width) <= size <= MAX_SIZE:
        raise SetError(
            f"--size {size}: images of {height}×{width} can have {max(height, width)} … {MAX_SIZE} pixels"
        )
    pixels = pixels.expand(n, channels or own, height, width)
    down, right = (size - height, size - width) if size else (0, 0)
    return F.pad(pixels, (right // 2, right - right // 2, down // 2, down - down // 2))


def find_image_moments(data: DistilledSet, channels: int) -> Moments:
    """DD-Ranking's own mean and std for the data set, else the set's; of a grey one for each channel."""
    own = tuple(data.source["mean"]), tuple(data.source["std"])
    mean, std = find_moments(VICO_MOMENTS, data.source["name"], data.items.shape[1]) or own
    return (mean * channels)[:channels], (std * channels)[:channels]


def write_tensor_files(
    folder: Path, data: DistilledSet, pixels: Tensor, order: Tensor, classes: Tensor, moments: Moments
) -> None:
    """Write the three .pt files."""
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in moments)
    write_tensors(folder / "images.pt", ((pixels - mean) / std).float())
    write_tensors(folder / "labels.pt", data.labels.detach().cpu()[order])
    write_tensors(folder / "hard_labels.pt", classes)


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


def render_readme(data: DistilledSet, clipped: float, moments: Moments, pixels: Tensor) -> str:
    """README.md: what the folder holds, and the Python that evaluates it."""
    name, height = data.source["name"], pixels.shape[2]
    known = {simplify_name(word): word for word in DATASETS}.get(simplify_name(name))
    white = " The set's items are whitened; images.pt and the PNGs are not." if data.source.get("zca") else ""
    note = "" if known else f" It has no {name}: its `get_dataset` must be given that one first."
    if pixels.shape[1] == 1:
        note += (
            " Its networks read three channels: export with `--channels 3`, of small images with `--size 32`."
        )
    return f"""# {name}, distilled into {len(data)} images

For DD-Ranking (`pip install ddranking==0.2.0`), in this folder:

```python
import torch
from ddranking.metrics import LabelRobustScoreHard, hard_label

hard_label.save_results = lambda *_: None  # 0.2.0 lists each score twice and cannot write its table

images, labels = torch.load("images.pt"), torch.load("hard_labels.pt")
score = LabelRobustScoreHard(
    dataset="{known or name}", real_data_path="./dataset", ipc={max(1, len(data) // data.labels.shape[1])},
    model_name="ConvNet-3", im_size=({height}, {height}), num_epochs=300, num_eval=5, num_workers=0,
    data_aug_func="none", optimizer="sgd", lr_scheduler="step", step_size=200,
    random_data_format="tensor", eval_full_data=True,
    device="cuda" if torch.cuda.is_available() else "cpu",
)
print(score.compute_metrics(image_tensor=images, hard_labels=labels))
```

`dataset` is one that DD-Ranking has: {", ".join(DATASETS)}.{note}

`labels.pt` holds the soft labels for its `LabelRobustScoreSoft` (`soft_labels=`), whose soft cross-entropy
takes their softmax; our own loss takes them as they are. (0.2.0 itself fails there with labels of one's own:
it calls `get_random_data_tensors` without `class_map`.)

`images.pt` is normalised by mean {list(moments[0])} and std {list(moments[1])}.{white} Items are
sorted by the class of their largest label (`hard_labels.pt`).

`images/` holds the same as PNGs, one folder per class: eight bits, clipped to [0, 1]. {100 * clipped:.1f} %
of the pixels were out of that range; `labels.csv` holds the share per image, and the soft labels.

`set.safetensors` and `set.json` are the whole set with its recipe: `distill.from_folder(FOLDER)`.
"""
