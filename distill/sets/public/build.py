"""A set from a file of another project, with the training of that project as its recipe.

Public formats do not hold the real images that the set was made from, so the real training data must be
given, or be named by the file: they name the classes and, by the name of the data set, the mean and std that
the project's code normalises by.
"""

import os
import shlex
import statistics
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distill.data import IMAGE_SETS
from distill.data.dataset import Dataset, print_remarks
from distill.errors import SetError, UserError
from distill.networks.build import default_arguments
from distill.registry import check_options
from distill.sets.distilled import DistilledSet
from distill.sets.formats.base import PublicSet, is_export, load_set, read_public_file
from distill.sets.provenance import shorten_command
from distill.sets.public.match import Images, match_images, match_labels
from distill.sets.public.normalisation import find_moments
from distill.sets.public.options import ImportOptions
from distill.sets.public.training import Schedule, choose_convnet

SetAndData = tuple[DistilledSet, Dataset, Dataset]


def import_file(
    path: str | os.PathLike[str], dataset: str | None, data_dir: str | None, options: ImportOptions
) -> DistilledSet:
    """The set of an export, or of a public file and its real data, as load_public(). Raises UserError."""
    check_options(options)
    if not Path(path).exists():
        raise SetError(f"{path}: no such file or folder")
    if not is_export(path):
        data, train, _ = load_public(path, dataset, data_dir, options)
        print_remarks(train)
        return data
    check_export_options(path, dataset, data_dir, options)
    return load_set(path)


def load_public(
    path: str | os.PathLike[str],
    dataset: str | None,
    data_dir: str | None,
    options: ImportOptions,
    device: str = "cpu",
) -> SetAndData:
    """(set, train, test): a public file's set and its real data, by default those that its name says.

    Raises UserError.
    """
    from distill.data.images import load

    public = read_public_file(path, options.experiment)
    name = choose_dataset(public, dataset, path)
    train, test = load(name, data_dir, device)
    return build_set(public, path, train, name, options), train, test


def choose_dataset(public: PublicSet, dataset: str | None, path: str | os.PathLike[str]) -> str:
    """The real data that a command or the file's name says. Raises UserError where none or both differ."""
    if not (dataset or public.dataset):
        raise UserError(f"{path} does not say what it was made from: give --dataset, as in --dataset mnist")
    if dataset in IMAGE_SETS and public.dataset not in (None, dataset):
        raise UserError(
            f"{path} was made from {public.dataset}, as its name says, not from {dataset}: give --dataset"
            f" {public.dataset}, or another name to the file"
        )
    return str(dataset or public.dataset)


def check_export_options(
    path: str | os.PathLike[str], dataset: str | None, data_dir: str | None, options: ImportOptions
) -> None:
    """Raise UserError for an option of public files: an export has its own data and recipe."""
    words = [flag for flag, value in (("--dataset", dataset), ("--data-dir", data_dir)) if value is not None]
    words += [word for word in options.to_words() if word.startswith("--")]
    if words:
        raise UserError(f"{words[0]} has no effect on {path}: an export has its own recipe; leave it out")


def import_public(
    path: str | os.PathLike[str],
    train: Dataset,
    name: str | None = None,
    options: ImportOptions | None = None,
) -> DistilledSet:
    """The set in a public file; how its recipe differs from the project's is in provenance["remarks"].

    train: the real training data that it was made from; name: how to find them again. Raises SetError.
    """
    options = options or ImportOptions()
    check_options(options)
    return build_set(read_public_file(path, options.experiment), path, train, name or train.name, options)


def build_set(
    public: PublicSet, path: str | os.PathLike[str], train: Dataset, name: str, options: ImportOptions
) -> DistilledSet:
    """The set of what a public file holds. Raises SetError, which names the file."""
    try:
        return combine(public, path, train, name, options)
    except SetError as error:
        raise error if str(path) in str(error) else SetError(f"{path}: {error}") from None


def combine(
    public: PublicSet, path: str | os.PathLike[str], train: Dataset, name: str, options: ImportOptions
) -> DistilledSet:
    """build_set(), whose errors may not name the file."""
    training, zca = public.training, options.zca or public.training.whitens(name)
    images = match_images(public, train, path, zca)
    targets = training.make_targets(match_labels(public, train, path), len(train.classes))
    source, source_remark = describe_source(public, train, name, zca)
    schedule = training.make_schedule(len(images.items), name, options.epochs, options.lr)
    check_rates(schedule, path)
    augment, augment_remark = (
        training.choose_augmentation(name) if options.augment is None else (options.augment, "")
    )
    scores = {word: summarise(accuracies) for word, accuracies in public.accuracies.items()}
    remarks = (
        *public.remarks, *images.remarks, source_remark, targets.remark, augment_remark, *schedule.remarks,
        describe_accuracies(scores),
    )  # fmt: skip
    device = train.items.device
    return DistilledSet(
        items=normalise(images, source).to(device),
        labels=targets.labels.to(device),
        schedule=schedule.items.to(device),
        lrs=schedule.lrs.float().to(device),
        inner={**training.rule, "loss": targets.loss, "augment": augment},
        network=describe_network(public, name, train.shape, options.network),
        source=source,
        provenance={
            "command": command_line(path, name, options),
            "format": public.project,
            "remarks": [remark for remark in remarks if remark],
            **({"accuracies": scores} if scores else {}),
        },
    )


def check_rates(schedule: Schedule, path: str | os.PathLike[str]) -> None:
    """Raise SetError for learning rates that are negative or not finite, or all 0."""
    wrong = schedule.lrs[~(schedule.lrs.isfinite() & (schedule.lrs >= 0))]
    if len(wrong) or not schedule.lrs.any():
        rate = float(wrong[0]) if len(wrong) else 0.0
        raise SetError(
            f"{path}: the learning rate is {rate:g}, it must be above 0: `distill import --lr` sets it"
        )


def normalise(images: Images, source: dict[str, Any]) -> Tensor:
    """The images as a network sees them: pixels by the source's mean and std, others as they are."""
    if images.white is None:
        return images.items
    mean, std = (torch.tensor(source[key]).view(-1, 1, 1) for key in ("mean", "std"))
    return (images.items / images.white - mean) / std


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
        whitening = public.training.fit_whitening(train, moments)
        return {**source, "mean": [0.0] * channels, "std": [1.0] * channels, "zca": whitening}, ""
    if moments is None:
        return source, f"normalised by the mean and std of {name}: {public.project} has no constants for it"
    return source, f"normalised by {public.project}'s mean {list(mean)} and std {list(std)}"


def describe_network(
    public: PublicSet, name: str, shape: tuple[int, ...], network: str | None
) -> dict[str, Any]:
    """The chosen network, that of the file's name, or the project's default, with weights drawn its way."""
    word, arguments = public.network or public.training.choose_network(name, shape)
    if public.network and word == "convnet":
        word, arguments = choose_convnet(shape, **arguments)
    if network is not None:
        word, arguments = network, default_arguments(network, shape)
    return {"name": word, "arguments": arguments, "init": "random", "scheme": public.training.weight_init}


def describe_accuracies(scores: dict[str, dict[str, Any]]) -> str:
    """The authors' own scores in a remark: "ConvNet 92.01 ± 0.32 % (n = 20), …"; "" where there are none."""
    words = [
        f"{network} {100 * s['mean']:.2f} ± {100 * s['std']:.2f} % (n = {s['n']})"
        for network, s in scores.items()
    ]
    return f"the authors' own test accuracy, by their code: {', '.join(words)}" if words else ""


def summarise(accuracies: list[float]) -> dict[str, float | int]:
    """Mean, std and count of accuracies."""
    std = statistics.stdev(accuracies) if len(accuracies) > 1 else 0.0
    return {"mean": statistics.fmean(accuracies), "std": std, "n": len(accuracies)}


def command_line(path: str | os.PathLike[str], name: str, options: ImportOptions) -> str:
    """The command line that imports the file with these options."""
    words = ["distill", "import", Path(path).name, "--dataset", name, *options.to_words()]
    return shorten_command(shlex.join(words))
