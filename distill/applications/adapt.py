"""`distill adapt`: images of one data set that fit networks trained on another to it in one gradient step."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import tyro

from distill.errors import UserError
from distill.runs.settings import ImageConfig, resolved

if TYPE_CHECKING:
    from distill.data.dataset import Dataset


@dataclass(frozen=True)
class TrainedConfig(ImageConfig):
    """What the jobs on trained networks share; a trained network is known as a fixed one is."""

    n: int = 10
    """How many synthetic images."""
    inner_steps: int = 1
    """Gradient steps on them."""
    rule: str = "sgd"
    """sgd, momentum (0.9) or adam."""
    pool: int = 6
    """With --init random: how many trained networks teach the set."""
    networks: int = 4
    """With --init random: how many trained networks that were never seen measure the set at the end."""
    ceilings: int = 1
    """With --init random: how many networks are trained on all the real data, for comparison."""
    network_steps: int = 1000
    """Steps of Adam, on batches of 128, that train each network before."""

    def suited(self) -> dict[str, Any]:
        fixed = ImageConfig.suited(replace(self, init="fixed"))
        return fixed | {"outer_steps": 800 if self.init == "fixed" else 1200, "judges": 2}

    @property
    def count(self) -> int:
        """How many trained networks that takes."""
        return self.nets if self.init == "fixed" else self.networks + int(self.judges) + self.pool


@dataclass(frozen=True)
class AdaptConfig(TrainedConfig):
    """Distil a target set into images that adapt networks trained on a source set (Wang et al. 2018)."""

    source: str = "mnist"
    """The data that the networks were trained on: a name, an .npz file or a folder of images."""
    source_dir: str | None = None
    """Where the files of a named source set are (default: bundled, or downloaded once)."""
    dataset: Annotated[str, tyro.conf.arg(name="target")] = "usps"
    """The data that they are adapted to: a name, an .npz file or a folder of images."""


def adapt(config: AdaptConfig, command: list[str]) -> dict[str, Any]:
    """Train the source networks, distil the target for them, measure. Raises UserError."""
    from distill.applications.pretrained import networks
    from distill.runs.job import distil

    if config.resume is not None:
        return distil(config, command)
    stems = (Path(name).stem for name in (config.source, config.dataset))
    config = ready(config, "adapt-" + "-".join(stems))
    if config.weights is None:
        config, source = sized(config)
        config = replace(config, weights=networks(config, source, config.count, config.network_steps))
    return distil(config, command)


C = TypeVar("C", bound=TrainedConfig)


def ready(config: C, name: str) -> C:
    """The settings in full, checked before any network is trained. Raises UserError."""
    from distill.runs import machine
    from distill.runs.files import folder

    for flag in ("pool", "network_steps"):
        if getattr(config, flag) < 1:
            raise UserError(f"--{flag.replace('_', '-')} must be above 0, not {getattr(config, flag)}")
    out = config.out or f"runs/{name}-n{config.n}-{config.init}-s{config.seed}"
    config = resolved(replace(config, batch=config.batch or config.n, out=out))
    folder.check_free(Path(config.out), config.overwrite)
    machine.check_device(config.device, config.threads)
    return config


def sized(config: AdaptConfig) -> "tuple[AdaptConfig, Dataset]":
    """The config with the size of both sets' images, and the source's training items. Raises UserError."""
    from distill.data.images import load

    where = (config.source, config.source_dir, config.device)
    (source, _), (target, _) = load(*where, config.image_size), config.real()
    if source.shape[0] != target.shape[0] or len(source.classes) != len(target.classes):
        raise UserError(
            f"{source.name} holds images {source.shape} of {len(source.classes)} classes, {target.name}"
            f" {target.shape} of {len(target.classes)}: adapt between sets with the same channels and classes"
        )
    size = max(source.shape[1:] + target.shape[1:])
    if source.shape[1:] == target.shape[1:] == (size, size):
        return config, source
    return replace(config, image_size=size), load(*where, size)[0]
