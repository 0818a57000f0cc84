"""A set as a Hugging Face `datasets.Dataset`, and as a folder for the hub: parquet, card, the set itself."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from distill.data.whiten import to_pixels
from distill.errors import SetError, require
from distill.sets.distilled import DistilledSet
from distill.sets.formats.atomic import whole
from distill.sets.formats.safetensors import put

if TYPE_CHECKING:
    from datasets import Dataset
    from PIL.Image import Image

LICENCES = {"mnist": "cc-by-sa-3.0", "sentences": "cc-by-4.0"}  # of the bundled data
PARQUET = "data/train.parquet"


def to_hf(data: DistilledSet) -> "Dataset":
    """One row per item: `item` (*item, its exact floats), `label` (classes,), `class`, the largest label's.

    Before them stands what can be looked at: `image`, its pixels clipped to [0, 1] in eight bits, where
    it is one; or `words`, the nearest word of each position. Raises SetError for classes of
    one name.
    """
    import datasets

    shape, label = tuple(data.items.shape[1:]), data.labels
    names = [str(name) for name in data.source["classes"]]
    if len(set(names)) < len(names):
        raise SetError(
            f"two classes of the set have one name, which the hub does not take: {', '.join(names)}"
        )
    features = {
        "item": array_of(shape, wide(data.items).dtype),
        "label": array_of(tuple(label.shape[1:]), wide(label).dtype),
        "class": datasets.ClassLabel(names=names),
    }
    rows: dict[str, Any] = {
        "item": list(wide(data.items).numpy()),
        "label": list(wide(label).numpy()),
        "class": label.argmax(dim=1).tolist(),
    }
    if pictures := images(data):
        features, rows = {"image": datasets.Image(), **features}, {"image": pictures, **rows}
    if data.text and len(data.text["nearest"]) == len(data):
        words = datasets.Sequence(datasets.Value("string"))
        features, rows = {"words": words, **features}, {"words": data.text["nearest"], **rows}
    return datasets.Dataset.from_dict(rows, features=datasets.Features(features))


def wide(tensor: Tensor) -> Tensor:
    """The same numbers as float32 or float64, on the CPU."""
    double = tensor.dtype == torch.float64
    return tensor.detach().cpu().to(torch.float64 if double else torch.float32)


def array_of(shape: tuple[int, ...], dtype: torch.dtype) -> Any:
    """The feature that holds one tensor of a shape."""
    import datasets

    kind = str(dtype).removeprefix("torch.")
    if len(shape) == 1:
        return datasets.Sequence(datasets.Value(kind), length=shape[0])
    return getattr(datasets, f"Array{len(shape)}D")(shape=shape, dtype=kind)


def images(data: DistilledSet) -> "list[Image]":
    """The items as pictures of eight bits, clipped to [0, 1]; none where they are not images to look at."""
    from PIL import Image

    known = data.source.get("mean") and data.source.get("std")
    if data.items.ndim != 4 or data.items.shape[1] not in (1, 3) or not known:
        return []
    pixels = to_pixels(data.items.detach(), data.source).cpu().clamp(0, 1).mul(255).round().byte()
    return [Image.fromarray(p.movedim(0, -1).squeeze(-1).numpy()) for p in pixels]


def to_folder(
    data: DistilledSet, path: str | os.PathLike[str], license: str | None = None, overwrite: bool = False
) -> Path:
    """A folder to upload as it is: README.md (the card), data/train.parquet, set.safetensors, set.json.

    datasets.load_dataset(path) reads the rows, distill.from_folder(path) the set with its recipe.
    Raises SetError, UserError without the package safetensors.
    """
    require("safetensors", "share")
    rows = to_hf(data)
    with whole(path, overwrite) as folder:
        (folder / PARQUET).parent.mkdir()
        quietly(rows, folder / PARQUET)
        put(data, folder)
        name = Path(path).name
        (folder / "README.md").write_text(card(data, rows, name, license), encoding="utf-8")
    return Path(path)


def quietly(rows: "Dataset", path: Path) -> None:
    """The rows as parquet, without a progress bar."""
    import datasets

    shown = datasets.are_progress_bars_disabled() is False
    datasets.disable_progress_bars()
    try:
        rows.to_parquet(str(path))
    finally:
        if shown:
            datasets.enable_progress_bars()


def card(data: DistilledSet, rows: "Dataset", name: str, license: str | None) -> str:
    """README.md of the folder: what the hub reads between dashes, then words for people."""
    import jinja2
    from datasets import DatasetInfo
    from datasets.info import DatasetInfosDict
    from huggingface_hub import DatasetCardData

    from distill.sets.labels import largest

    facts = DatasetCardData(
        license=license or LICENCES.get(data.source["name"], "unknown"),
        task_categories=["text-classification" if data.text else "image-classification"],
        size_categories=["n<1K" if len(data) < 1000 else "1K<n<10K" if len(data) < 10_000 else "10K<n<100K"],
        tags=["dataset-distillation", "dataset-condensation", "synthetic"],
        pretty_name=f"{data.source['name']} distilled into {len(data)} items",
        configs=[{"config_name": "default", "data_files": [{"split": "train", "path": PARQUET}]}],
    )
    DatasetInfosDict({"default": DatasetInfo(features=rows.features)}).to_dataset_card_data(facts)
    template = (Path(__file__).parent / "card.md").read_text(encoding="utf-8")
    labels = [largest(label, data.source["classes"]) for label in data.labels[:10]]
    words = jinja2.Environment(trim_blocks=True, lstrip_blocks=True).from_string(template)
    return words.render(yaml=facts.to_yaml(), data=data, name=name, features=rows.features, labels=labels)
