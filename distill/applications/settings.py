"""The settings of jobs on trained networks. Imports no torch."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from distill.registry import option
from distill.runs.settings import (
    DataSettings,
    ImageData,
    ImageSettings,
    InnerSettings,
    MeasureSettings,
    OuterSettings,
)


@dataclass(frozen=True)
class TrainedNetworks:
    """Trained networks: what the set is for"""

    pool: int = option(6, "COUNT", above=0)
    """With --init random: how many trained networks the set is learned from."""
    network_steps: int = option(1000, "STEPS", above=0)
    """Steps of Adam, on batches of 128, that train each network before."""


@dataclass(frozen=True)
class TrainedSettings(ImageSettings):
    """What the jobs on trained networks share; a trained network is known as a fixed one is."""

    inner: InnerSettings = field(default_factory=lambda: InnerSettings(inner_steps=1, rule="sgd"))
    measure: MeasureSettings = field(
        default_factory=lambda: MeasureSettings(test_networks=4, full_data_networks=1)
    )
    trained: TrainedNetworks = field(default_factory=TrainedNetworks)

    n_default: ClassVar[int] = 10
    as_fixed: ClassVar[bool] = True  # the defaults are those of a known initialisation

    def overrides(self) -> dict[str, Any]:
        """Defaults of this job in the place of the general ones."""
        steps = {} if self.run.minutes else {"outer_steps": 800 if self.network.init == "fixed" else 1200}
        return {"validation_networks": 2, **steps}

    @property
    def networks(self) -> int:
        """How many trained networks that takes."""
        if self.network.init == "fixed":
            return self.network.fixed_networks
        return self.measure.test_networks + int(self.measure.validation_networks) + self.trained.pool


@dataclass(frozen=True)
class SourceData:
    """The data that the networks were trained on"""

    source: str = option("mnist", "DATA")
    """The data that the networks were trained on: a name, an .npz file or a folder of images."""
    source_dir: str | None = option(None, "FOLDER", identity=False)
    """Where the files of a named source set are (default: bundled, or downloaded once)."""


@dataclass(frozen=True)
class AdaptSettings(TrainedSettings):
    """Distil a target set into images that adapt networks trained on a source set (Wang et al. 2018)."""

    data: DataSettings = field(default_factory=lambda: ImageData(dataset="usps"))
    source: SourceData = field(default_factory=SourceData)

    flags: ClassVar[dict[str, str]] = {"dataset": "target"}


@dataclass(frozen=True)
class Attack:
    """The attack"""

    attacked: str = option("7", "CLASS")
    """The class that is to be mistaken, by its name."""
    target: str = option("1", "CLASS")
    """The class that it is to be taken for."""


@dataclass(frozen=True)
class PoisonSettings(TrainedSettings):
    """Distil images that make trained networks take one class for another (Wang et al. 2018, section 3.6)."""

    outer: OuterSettings = field(default_factory=lambda: OuterSettings(start="noise"))
    attack: Attack = field(default_factory=Attack)
