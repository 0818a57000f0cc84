"""The options of every command on a distilled set: the set, its real data, the device. Imports no torch."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from distill.errors import UserError
from distill.registry import THREADS, flag, option

if TYPE_CHECKING:
    from distill.data.dataset import Dataset
    from distill.sets.distilled import DistilledSet


@dataclass(frozen=True)
class SetSettings:
    """A distilled set and where its real data are."""

    set: str = option(metavar="SET", positional=True)
    """The distilled set: a .pt file, an exported folder, or a file of another project, as `distill import`
    reads them."""
    dataset: str | None = option(None, "DATA", without="train")
    """The real data (default: those that the set was made from)."""
    data_dir: str | None = option(None, "FOLDER", without="train")
    """Where the files of a named data set are."""
    vectors: str | None = option(None, "VECTORS")
    """The word vectors that a text set was learned with (default: the file or name that it was learned
    with)."""
    encoder: str | None = option(None, "ENCODER")
    """The sentence encoder that a text set was learned with (default: the folder or name that it was learned
    with)."""
    train: str | None = option(None, "FILE", needs={"test": ()})
    """Your own texts instead of those that the set was made from; with --test."""
    test: str | None = option(None, "FILE", needs={"train": ()})
    """Your own test texts."""
    text_column: str | None = option(None, "NAME", needs={"train": ()})
    """The column of your texts (default: text, or sentence)."""
    label_column: str | None = option(None, "NAME", needs={"train": ()})
    """The column of your labels (default: label)."""
    experiment: int = option(-1, "NUMBER", at_least=-(10**6), at_most=10**6)
    """For a public res_*.pt: the number of the experiment to take (default: the last)."""
    zca: bool = option(False)
    """For a public set whose images are whitened (made with --zca of MTT or DATM)."""
    device: str = option("cpu", "DEVICE")
    """Where to compute: cpu, cuda or cuda:1."""
    threads: int = option(1, "COUNT", **THREADS)
    """Threads of torch on a CPU."""
    json: bool = option(False)
    """Also print the result, as one line of JSON at the end."""
    draws_items: ClassVar[bool] = False  # --seeds counts draws of items too, not networks alone
    given: frozenset[str] = field(default=frozenset(), kw_only=True)  # options of the command line


def load_set_and_data(config: SetSettings) -> "tuple[DistilledSet, Dataset, Dataset]":
    """(the set, its real training data, its real test data), on the device. Raises UserError."""
    from distill.data.dataset import print_remarks
    from distill.runs.files.machine import check_device
    from distill.sets.formats.base import is_public, load_set
    from distill.sets.real_data import match_real_data, print_own_floats

    check_device(config.device, config.threads)
    if is_public(config.set):
        data, train, test = load_public_set(config)
    else:
        data = load_set(config.set, config.device)
        check_set_options(config, data)
        train, test = load_real_data(config, data)
    print_remarks(train)
    print_own_floats(data, config.set, "measure it in Python by distill.student.evaluate(data, test)")
    train, test = match_real_data(data, train, test)
    return data, train, test


def check_set_options(config: SetSettings, data: "DistilledSet") -> None:
    """Raise UserError for an option of texts on other sets, or of public files on a set of distill."""
    for_texts = ("vectors", "encoder", "train", "test", "text_column", "label_column")
    names = [name for name in for_texts if getattr(config, name) is not None and data.text is None]
    if names:
        raise UserError(
            f"{flag(names[0])} has no effect on {config.set}: it is for sets of texts; leave it out"
        )
    check_encoder_option(config, data)
    if config.zca or config.experiment != -1:
        name = "--zca" if config.zca else "--experiment"
        raise UserError(f"{name} has no effect on {config.set}: it is for public files; leave it out")
    own_start = getattr(config, "init", None) is None and getattr(config, "network", None) is None
    is_fixed = getattr(config, "init", None) == "fixed" or (own_start and data.network.get("init") == "fixed")
    if is_fixed and "seeds" in config.given and not config.draws_items:
        raise UserError(f"--seeds has no effect on the fixed weights of {config.set}: leave it out")


def check_encoder_option(config: SetSettings, data: "DistilledSet") -> None:
    """Raise UserError for --encoder on a set of word vectors, or --vectors on one of embeddings."""
    if data.text is None:
        return
    kinds = ("encoder", "vectors") if "encoder" in data.text else ("vectors", "encoder")
    if getattr(config, kinds[1]) is not None:
        raise UserError(
            f"{flag(kinds[1])} has no effect on {config.set}, which was learned with {kinds[0]}"
            f" {data.text[kinds[0]]}: give {flag(kinds[0])}, or leave it out"
        )


def check_place(path: "str | Path | None", config: SetSettings, data: "DistilledSet") -> None:
    """Raise SetError where a file cannot be written at path, or would replace one that the command reads."""
    from distill.sets.storage import check_output

    if path is None:
        return
    own = [data.source["name"], *list_text_places(data.text)]
    named = [config.set, config.dataset, config.vectors, config.encoder, config.train, config.test]
    check_output(path, [*named, getattr(config, "teacher", None), *own])


def list_text_places(text: dict[str, Any] | None) -> list[Any]:
    """The files and folders that a set of texts came from; none of a set of images."""
    return [] if text is None else [text.get("encoder") or text["vectors"], *text["files"][:2]]


def load_public_set(config: SetSettings) -> "tuple[DistilledSet, Dataset, Dataset]":
    """A set in a public format, and the real data that the command or the file names. Raises UserError."""
    from distill.sets.public.build import load_public
    from distill.sets.public.options import ImportOptions

    options = ImportOptions(experiment=config.experiment, zca=config.zca)
    data, train, test = load_public(config.set, config.dataset, config.data_dir, options, config.device)
    for remark in data.provenance["remarks"]:
        print(f"{config.set}: {remark}", file=sys.stderr)
    return data, train, test


def load_real_data(config: SetSettings, data: "DistilledSet") -> "tuple[Dataset, Dataset]":
    """(train, test): the real data that the set was made from, or others that the command names."""
    from distill.data import embedding
    from distill.data.adapters import OWN

    if config.dataset is None and data.source["name"] == OWN:
        raise UserError(
            f"{config.set} was learned from your own data in Python: give them by --dataset, a folder or an"
            " .npz, or measure it there by distill.student.evaluate(data, test)"
        )
    texts = (config.train, config.test, config.text_column, config.label_column)
    same = config.dataset is None
    name = data.source["name"] if config.dataset is None else config.dataset
    kept = kept_images(data, name) if same else {}
    return embedding.load_real_data(
        data.text, name, same, texts, config.data_dir, config.encoder or place_of_vectors(config, data),
        config.device,
        data.source.get("size"), **kept,
    )  # fmt: skip


def place_of_vectors(config: SetSettings, data: "DistilledSet") -> str | None:
    """Where the word vectors are; those of a pretrained model are where --network says that it lies."""
    from distill.data.models import is_model

    network = getattr(config, "network", None)
    vectors = data.text["vectors"] if data.text is not None and "vectors" in data.text else None
    is_own = is_model(vectors) and is_model(network)
    return network if config.vectors is None and is_own else config.vectors


def kept_images(data: "DistilledSet", name: str) -> dict[str, Any]:
    """How the run that made a set kept the pictures of its folder; not where, as files name no places."""
    from distill.data import KEEP

    run = data.provenance.get("config")
    if not isinstance(run, dict) or not (Path(name).is_dir() or name.endswith(".tar")):
        return {}
    keep, skip_damaged = run.get("keep"), run.get("skip_damaged")
    return {"keep": keep if keep in KEEP else "auto", "skip_damaged": skip_damaged is True}
