"""adapt(): images of one data set that fit networks trained on another to it in one gradient step."""

from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from distill.applications.pretrained import train_networks
from distill.applications.settings import AdaptSettings, TrainedSettings
from distill.data.dataset import Dataset, print_remarks
from distill.data.images import find_listing, load
from distill.data.whiten import whiten
from distill.errors import UserError
from distill.registry import flag
from distill.runs.build import build_method, build_problem, set_depth
from distill.runs.files import folder, machine
from distill.runs.job import distil
from distill.runs.measure import load_data
from distill.runs.resolve import change, identity, resolve, set_ipc
from distill.runs.settings import ImageData
from distill.runs.starts.synthetic import build_synthetic, check_method

S = TypeVar("S", bound=TrainedSettings)
TRAINING_OPTIONS = ("source", "source_dir", "network_steps", "pool")  # options of the training before a run


def adapt(settings: AdaptSettings, command: list[str]) -> dict[str, Any]:
    """Train the source networks, distil the target for them, measure. Raises UserError."""
    if settings.run.resume is not None:
        return distil(settings, command)
    stems = (Path(name).stem for name in (settings.source.source, settings.data.dataset))
    settings = prepare(settings, "adapt-" + "-".join(stems))
    if needs_networks(settings):
        settings, source = match_sizes(settings)
        settings = set_depth(settings, source.shape)
        check_start(settings, load_data(settings)[0])
        settings = change(settings, "network", weights=train_networks(settings, source))
    return distil(settings, command)


def prepare(settings: S, name: str) -> S:
    """The settings in full, checked before any network is trained. Raises UserError."""
    if settings.run.dry_run:
        raise UserError(
            "--dry-run is for image and text: networks are trained first here, which takes longer"
        )
    check_training_options(settings)
    machine.check_device(settings.run.device, settings.run.threads)
    if settings.data.ipc is not None:
        settings = set_ipc(settings, len(load_data(resolve(settings))[0].classes))
    if settings.run.out is None:
        n = settings.data.n or settings.n_default
        out = f"runs/{name}-n{n}-{settings.network.init}-s{settings.run.seed}"
        settings = change(settings, "run", out=out)
    settings = resolve(settings)
    if not folder.is_restart(Path(settings.run.out)):
        folder.check_free(Path(settings.run.out), settings.run.overwrite, identity(settings))
    return settings


def needs_networks(settings: TrainedSettings) -> bool:
    """Whether networks are to be trained first: there are none, and torchrun has not restarted the run."""
    return settings.network.weights is None and not folder.is_restart(Path(settings.run.out))


def check_training_options(settings: TrainedSettings) -> None:
    """Raise UserError for an option of the networks' training beside --weights, which are trained already."""
    for name in sorted(settings.run.given & set(TRAINING_OPTIONS)):
        if settings.network.weights is not None:
            raise UserError(f"{flag(name)} has no effect beside --weights: leave one of them out")


def check_start(settings: TrainedSettings, train: Dataset) -> None:
    """Raise UserError where the items cannot start so, before networks are trained for them."""
    problem, word = build_problem(settings, train), settings.outer.method
    method = build_method(settings, problem)
    check_method(method, word, settings.data.n, len(train.classes), settings.data.labels)
    if str(settings.outer.start).endswith(".pt"):
        build_synthetic(settings, problem, method, train)


def match_sizes(settings: AdaptSettings) -> tuple[AdaptSettings, Dataset]:
    """The settings with one image size for both sets, and the source's training items in the target's units.

    Both have the target's matrix where --zca whitens them. Raises UserError.
    """
    source = load_source(settings)
    print_remarks(source)
    target, _ = load_data(settings)
    if source.shape[0] != target.shape[0] or len(source.classes) != len(target.classes):
        raise UserError(
            f"{source.name} holds images {source.shape} of {len(source.classes)} classes, {target.name}"
            f" {target.shape} of {len(target.classes)}: adapt between sets with the same channels and classes"
        )
    source = source.with_classes(target.classes, target.name)
    size = max(source.shape[1:] + target.shape[1:])
    if source.shape[1:] == target.shape[1:] == (size, size):
        return settings, whiten_as(source, target)
    settings = change(settings, "data", image_size=size)
    resized = replace(load_source(settings), labels=source.labels, classes=source.classes)
    return settings, whiten_as(resized, load_data(settings)[0]) if target.zca else resized


def load_source(settings: AdaptSettings) -> Dataset:
    """The source's training items, not whitened, by the options of the target that its kind takes.

    They are kept on the device, where networks train on them. Raises DataError.
    """
    source, data = settings.source, settings.data
    assert isinstance(data, ImageData)
    is_folder, keep = find_listing(source.source) is not None, "auto" if data.keep != "device" else data.keep
    place = (keep, data.cache, data.skip_damaged) if is_folder else (keep,)
    return load(source.source, source.source_dir, settings.run.device, data.image_size, *place)[0]


def whiten_as(source: Dataset, target: Dataset) -> Dataset:
    """The source whitened as the target is, whose items the networks will see; as it is where that is not."""
    return source if target.zca is None else whiten(source, target.zca)
