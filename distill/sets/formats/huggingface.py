"""A set as a Hugging Face `datasets.Dataset`, and as a folder for the hub: parquet, card, the whole set."""

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from distill.errors import SetError
from distill.sets.distilled import DistilledSet
from distill.sets.formats.base import draw_images
from distill.sets.formats.card import build_scores, describe_units
from distill.sets.formats.safetensors import export_folder
from distill.sets.labels.words import describe_label
from distill.sets.provenance import without_places

if TYPE_CHECKING:
    from datasets import Dataset

LICENCES = {"mnist": "cc-by-sa-3.0", "sentences": "cc-by-4.0"}  # of the bundled data
PARQUET = "data/train.parquet"


def write_set(
    data: DistilledSet, path: str | os.PathLike[str], license: str | None = None, overwrite: bool = False
) -> Path:
    """A folder to upload as it is: README.md (the card), data/train.parquet, set.safetensors, set.json.

    datasets.load_dataset(path) reads the rows, distill.from_folder(path) the set with its recipe. license:
    what the card states; by default that of the bundled data, else unknown. Raises SetError, UserError
    without the package safetensors.
    """
    data = without_places(data)
    rows = to_hf(data)
    with export_folder(data, path, overwrite) as folder:
        (folder / PARQUET).parent.mkdir()
        write_parquet(rows, folder / PARQUET)
        card = render_card(data, rows, Path(path).name, license)
        (folder / "README.md").write_text(card, encoding="utf-8")
    return Path(path)


def upload_set(data: DistilledSet, repo: str, license: str | None = None, **options: Any) -> str:
    """Upload the folder of write_set() to the hub, as a data set; the address of its page.

    options are those of huggingface_hub.create_repo. Raises SetError where the hub refuses, UserError
    without the package safetensors.
    """
    from huggingface_hub import HfApi

    if not isinstance(repo, str) or not repo:
        raise SetError(f'repo is {repo!r:.80}: give a name on the hub, as "my-set" or "me/my-set"')
    with tempfile.TemporaryDirectory() as parent:
        folder = write_set(data, Path(parent) / repo.rsplit("/", 1)[-1], license)
        hub = HfApi()
        try:
            page = hub.create_repo(repo, repo_type="dataset", **{"exist_ok": True, **options})
            hub.upload_folder(repo_id=page.repo_id, folder_path=folder, repo_type="dataset")
        except Exception as error:  # no login, a name that is none, whatever the hub's HTTP client raises
            reason = " ".join(str(error).split())
            raise SetError(f"{repo} could not be uploaded to the hub ({reason:.200})") from error
    return str(page)


def to_hf(data: DistilledSet) -> "Dataset":
    """One row per item: `item` (*item, its exact floats), `label` and `soft_label` (classes,).

    `label` is a ClassLabel, the class of the largest soft label, as trainers and the hub's viewer expect it.
    The first column is for people: `image`, the pixels clipped to [0, 1] in eight bits, where the item is an
    image; or `words`, the nearest word of each position. Raises SetError where two classes have one name.
    """
    import datasets

    items, labels = to_float(data.items), to_float(data.labels)
    columns = {
        "item": (array_feature(items), list(items.numpy())),
        "label": (datasets.ClassLabel(names=class_names(data)), data.labels.argmax(dim=1).tolist()),
        "soft_label": (array_feature(labels), list(labels.numpy())),
    }
    if pictures := draw_images(data):
        columns = {"image": (datasets.Image(), pictures), **columns}
    if data.text and len(data.text["nearest"]) == len(data):
        feature = datasets.Sequence(datasets.Value("string"))
        name = "sentences" if "encoder" in data.text else "words"
        columns = {name: (feature, data.text["nearest"]), **columns}
    rows = {name: values for name, (_, values) in columns.items()}
    features = datasets.Features({name: feature for name, (feature, _) in columns.items()})
    return datasets.Dataset.from_dict(rows, features=features)


def class_names(data: DistilledSet) -> list[str]:
    """The names of the classes. Raises SetError where two are equal."""
    names = [str(name) for name in data.source["classes"]]
    if len(set(names)) < len(names):
        raise SetError(
            f"two classes of the set have one name, which the hub does not take: {', '.join(names)}"
        )
    return names


def to_float(tensor: Tensor) -> Tensor:
    """The same numbers as float32 or float64, on the CPU."""
    double = tensor.dtype == torch.float64
    return tensor.detach().cpu().to(torch.float64 if double else torch.float32)


def array_feature(tensor: Tensor) -> Any:
    """The feature that holds one row of a tensor (n, *shape)."""
    import datasets

    shape, dtype = tuple(tensor.shape[1:]), str(tensor.dtype).removeprefix("torch.")
    if len(shape) == 1:
        return datasets.Sequence(datasets.Value(dtype), length=shape[0])
    return getattr(datasets, f"Array{len(shape)}D")(shape=shape, dtype=dtype)


def write_parquet(rows: "Dataset", path: Path) -> None:
    """The rows as parquet, without a progress bar."""
    import datasets

    had_bars = datasets.are_progress_bars_disabled() is False
    datasets.disable_progress_bars()
    try:
        rows.to_parquet(str(path))
    finally:
        if had_bars:
            datasets.enable_progress_bars()


def render_card(data: DistilledSet, rows: "Dataset", name: str, license: str | None) -> str:
    """README.md of the folder: metadata for the hub between dashes, then text for people."""
    import jinja2
    from datasets import DatasetInfo
    from datasets.info import DatasetInfosDict
    from huggingface_hub import DatasetCardData

    header = DatasetCardData(
        license=license or LICENCES.get(data.source["name"], "unknown"),
        task_categories=["text-classification" if data.text else "image-classification"],
        size_categories=["n<1K" if len(data) < 1000 else "1K<n<10K" if len(data) < 10_000 else "10K<n<100K"],
        tags=["dataset-distillation", "dataset-condensation", "synthetic"],
        pretty_name=f"{data.source['name']} distilled into {len(data)} items",
        configs=[{"config_name": "default", "data_files": [{"split": "train", "path": PARQUET}]}],
    )
    DatasetInfosDict({"default": DatasetInfo(features=rows.features)}).to_dataset_card_data(header)
    template = (Path(__file__).parent / "card.md").read_text(encoding="utf-8")
    labels = [describe_label(label, data.source["classes"]) for label in data.labels[:10]]
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(template).render(
        yaml=header.to_yaml(), data=data, name=name, features=rows.features, labels=labels,
        scores=build_scores(data), units=describe_units(data),
    )  # fmt: skip
