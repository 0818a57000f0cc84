"""A set from a file of another project, with the training of that project as its recipe.

No public format says which real images the set was made from, so the real training data must be given: they
name the classes and, by the name of the data set, the mean and std that the project's code normalises by.
"""

import os
import shlex
from pathlib import Path
from typing import Any

from distill.data.dataset import Dataset
from distill.errors import SetError, UserError
from distill.sets.distilled import DistilledSet
from distill.sets.formats.base import PublicSet, is_export, load_set, read_public_file
from distill.sets.provenance import shorten_command
from distill.sets.public.normalisation import find_moments, fit_kornia_zca
from distill.sets.public.options import ImportOptions


def import_file(
    path: str | os.PathLike[str], dataset: str | None, data_dir: str | None, options: ImportOptions
) -> DistilledSet:
    """The set of an export, or of a public file and the real data that `dataset` names. Raises UserError."""
    from distill.data.images import load

    options.check()
    if is_export(path):
        return load_set(path)
    if dataset is None:
        raise UserError("--dataset is missing: a public file does not say what it was made from")
    train, _ = load(dataset, data_dir)
    return import_public(path, train, dataset, options)


def import_public(
    path: str | os.PathLike[str],
    train: Dataset,
    name: str | None = None,
    options: ImportOptions | None = None,
) -> DistilledSet:
    """The set in a public file; how its recipe differs from the project's is in provenance["remarks"].

    train: the real training data that it was made from; name: how to find them again. Raises SetError.
    """
    options, name = options or ImportOptions(), name or train.name
    public = read_public_file(path, options.experiment)
    check_images(public, train, path)
    check_labels(public, train, path)
    training = public.training
    try:
        labels, label_remark = training.make_targets(public.labels, len(train.classes))
    except SetError as error:
        raise SetError(f"{path}: {error}") from None
    source, source_remark = describe_source(public, train, name, options.zca)
    schedule = training.make_schedule(len(public.items), options.epochs, options.lr)
    augment, augment_remark = (
        training.choose_augmentation(name) if options.augment is None else (options.augment, "")
    )
    remarks = (*public.remarks, source_remark, label_remark, augment_remark, *schedule.remarks)
    device = train.items.device
    return DistilledSet(
        items=public.items.float().to(device),
        labels=labels.to(device),
        schedule=schedule.items.to(device),
        lrs=schedule.lrs.to(device),
        inner={**training.rule, "loss": "soft-cross-entropy", "augment": augment},
        network=describe_network(public, name, options.network),
        source=source,
        provenance={
            "command": command_line(path, name, options),
            "format": public.project,
            "remarks": [remark for remark in remarks if remark],
        },
    )


def check_images(public: PublicSet, train: Dataset, path: str | os.PathLike[str]) -> None:
    """Raise SetError where a file's images do not go with the real data."""
    items = public.items
    if items.ndim != 4 or not items.is_floating_point() or items.numel() == 0:
        raise SetError(f"{path} holds data {list(items.shape)}, not images (n, channels, height, width)")
    if tuple(items.shape[1:]) != train.shape:
        raise SetError(
            f"{path} holds images {tuple(items.shape[1:])}, {train.name} has {train.shape}: give the"
            " --dataset that it was made from"
        )


def check_labels(public: PublicSet, train: Dataset, path: str | os.PathLike[str]) -> None:
    """Raise SetError where a file's labels do not go with its images or the real classes."""
    labels, n, classes = public.labels, len(public.items), len(train.classes)
    if labels.shape[:1] != public.items.shape[:1]:
        raise SetError(f"{path} holds labels {list(labels.shape)} for {n} images: one each")
    if labels.is_floating_point():
        if labels.shape[1:] != (classes,):
            raise SetError(f"{path} holds labels {list(labels.shape)}, {train.name} has {classes} classes")
    elif labels.ndim != 1:
        raise SetError(f"{path} holds labels {list(labels.shape)}: class numbers are {n} in a row")
    elif len(outside := labels[(labels < 0) | (labels >= classes)]):
        raise SetError(
            f"{path} holds the label {int(outside[0])}: the {classes} classes of {train.name} are 0 …"
            f" {classes - 1}"
        )


def describe_source(public: PublicSet, train: Dataset, name: str, zca: bool) -> tuple[dict[str, Any], str]:
    """The set's `source`, which says how a network trained on it must see real images; and a remark."""
    channels = train.shape[0]
    moments = find_moments(public.training.moments, name, channels)
    mean, std = moments or (train.mean, train.std)
    source: dict[str, Any] = {
        "name": name, "classes": list(train.classes), "mean": list(mean), "std": list(std),
        "train": len(train), "zca": None,
    }  # fmt: skip
    if zca:
        whitening = {"mean": [0.0] * channels, "std": [1.0] * channels, "zca": fit_kornia_zca(train)}
        return {**source, **whitening}, ""
    if moments is None:
        return source, f"normalised by the mean and std of {name}: {public.project} has no constants for it"
    return source, f"normalised by {public.project}'s mean {list(mean)} and std {list(std)}"


def describe_network(public: PublicSet, name: str, network: str | None) -> dict[str, Any]:
    """The project's default network, or the chosen one, with weights drawn as the project draws them."""
    word, arguments = (
        public.training.choose_network(name, public.items.shape[1:]) if network is None else (network, {})
    )
    return {"name": word, "arguments": arguments, "init": "random", "scheme": public.training.weight_init}


def command_line(path: str | os.PathLike[str], name: str, options: ImportOptions) -> str:
    """The command line that imports the file with these options."""
    words = ["distill", "import", Path(path).name, "--dataset", name, *options.to_words()]
    return shorten_command(shlex.join(words))
