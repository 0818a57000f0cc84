"""The options of every command on a distilled set: the set, its real data, the device. Imports no torch."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from distill.errors import UserError
from distill.registry import option

if TYPE_CHECKING:
    from distill.data.dataset import Dataset
    from distill.sets.distilled import DistilledSet


@dataclass(frozen=True)
class SetSettings:
    """A distilled set and where its real data are."""

    set: str = option(metavar="SET", positional=True)
    """The distilled set: a .pt file, an exported folder, or a public one: results.pth, res_*.pt, the folder
    of images_best.pt."""
    dataset: str | None = option(None, "DATA")
    """The real data (default: those that the set was made from)."""
    data_dir: str | None = option(None, "FOLDER")
    """Where the files of a named data set are."""
    vectors: str | None = option(None, "VECTORS")
    """The word vectors that a text set was learned with (default: the file or name that it was learned
    with)."""
    train: str | None = option(None, "FILE")
    """Your own texts instead of those that the set was made from; with --test."""
    test: str | None = option(None, "FILE")
    """Your own test texts."""
    text_column: str | None = option(None, "NAME")
    """The column of your texts (default: text, or sentence)."""
    label_column: str | None = option(None, "NAME")
    """The column of your labels (default: label)."""
    experiment: int = option(-1, "NUMBER")
    """For a public res_*.pt: the number of the experiment to take (default: the last)."""
    zca: bool = option(False)
    """For a public set whose images are whitened (made with --zca of MTT or DATM)."""
    device: str = option("cpu", "DEVICE")
    """Where to compute: cpu, cuda or cuda:1."""
    threads: int = option(1, "COUNT")
    """Threads of torch on a CPU."""
    json: bool = option(False)
    """Also print the result, as one line of JSON at the end."""


def load_set_and_data(config: SetSettings) -> "tuple[DistilledSet, Dataset, Dataset]":
    """(the set, its real training data, its real test data), on the device. Raises UserError."""
    from distill.data.dataset import print_remarks
    from distill.runs.files.machine import check_device
    from distill.sets.formats.base import is_public, load_set

    check_device(config.device, config.threads)
    if is_public(config.set):
        data, train, test = load_public_set(config)
    else:
        data = load_set(config.set, config.device)
        train, test = load_real_data(config, data)
    print_remarks(train)
    check_match(data, test)
    return data, transform_like(train, data), transform_like(test, data)


def check_place(path: "str | Path", config: SetSettings, data: "DistilledSet") -> None:
    """Raise SetError where a file cannot be written at path, or would replace one that the command reads."""
    from distill.sets.storage import check_output

    own = [data.source["name"], *((data.text["vectors"], *data.text["files"][:2]) if data.text else ())]
    named = [config.set, config.dataset, config.vectors, config.train, config.test]
    check_output(path, [*named, getattr(config, "teacher", None), *own])


def load_public_set(config: SetSettings) -> "tuple[DistilledSet, Dataset, Dataset]":
    """A set in a public format, and the real data that the command names. Raises UserError."""
    from distill.data.images import load
    from distill.sets.public.build import import_public
    from distill.sets.public.options import ImportOptions

    if config.dataset is None:
        raise UserError(
            f"{config.set} does not say what it was made from: give --dataset, as in --dataset mnist"
        )
    train, test = load(config.dataset, config.data_dir, config.device)
    options = ImportOptions(experiment=config.experiment, zca=config.zca)
    data = import_public(config.set, train, config.dataset, options)
    for remark in data.provenance["remarks"]:
        print(f"{config.set}: {remark}", file=sys.stderr)
    return data, train, test


def transform_like(split: "Dataset", data: "DistilledSet") -> "Dataset":
    """Real items whitened or normalised as the set's items are."""
    from distill.data.whiten import whiten
    from distill.sets.public.normalisation import normalise_like

    zca = data.source.get("zca")
    return whiten(split, zca) if zca else normalise_like(split, data)


def load_real_data(config: SetSettings, data: "DistilledSet") -> "tuple[Dataset, Dataset]":
    """(train, test): the real data that the set was made from, or others that the command names."""
    from distill.data import embedding

    texts = (config.train, config.test, config.text_column, config.label_column)
    name = config.dataset or data.source["name"]
    same = config.dataset is None
    return embedding.load_real_data(
        data.text, name, same, texts, config.data_dir, config.vectors, config.device, data.source.get("size")
    )


def check_match(data: "DistilledSet", test: "Dataset") -> None:
    """Raise UserError where the real items or classes are not those of the set."""
    if not test.matches_items(data.items) or len(test.classes) != data.labels.shape[1]:
        raise UserError(
            f"the set holds items {tuple(data.items.shape[1:])} of {data.labels.shape[1]} classes,"
            f" {test.name} has {test.shape} of {len(test.classes)}: give the --dataset that it was made from"
        )
