"""The settings of jobs on trained networks. Imports no torch."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from distill.registry import AUTO, COUNT, STEPS, Auto, option
from distill.runs.settings import (
    DataSettings,
    ImageData,
    ImageSettings,
    InnerSettings,
    MeasureSettings,
    OuterSettings,
    RunSettings,
)
from distill.runs.settings.situation import is_timed


@dataclass(frozen=True)
class TrainedNetworks:
    """Trained networks: what the set is for"""

    pool: int = option(6, "COUNT", **COUNT, needs={"init": ("random",)})
    """With --init random: from how many trained networks the set is learned."""
    network_steps: int = option(1000, "STEPS", **STEPS)
    """For how many steps of Adam, on batches of 128, each network is trained first."""


@dataclass(frozen=True)
class TrainedOuter(OuterSettings):
    """Outer loop: how the synthetic items are improved"""

    outer_steps: Auto[int] = option(AUTO, "STEPS", **STEPS)
    """How often the synthetic items are updated (default: 800 where fixed, 1200 where random)."""


@dataclass(frozen=True)
class TrainedMeasure(MeasureSettings):
    """Measuring: how a set is chosen and scored"""

    validation_networks: Auto[int] = option(AUTO, "COUNT", **COUNT, needs={"init": ("random",)})
    """With --init random: how many networks choose what is exported; the set is not learned from them
    (default: 2)."""
    dc_networks: int = 0  # no option: a set for trained networks is nothing for new ones


@dataclass(frozen=True)
class TrainedRun(RunSettings):
    """The run: where, how long, on what"""

    out: Auto[str] = option(AUTO, "FOLDER", without="resume", first=True, identity=False)
    """The run folder (default: runs/JOB-nN-INIT-sSEED, where JOB names the data or the classes)."""


@dataclass(frozen=True)
class TrainedSettings(ImageSettings):
    """What the jobs on trained networks share; a trained network is known as a fixed one is."""

    inner: InnerSettings = field(default_factory=lambda: InnerSettings(inner_steps=1, rule="sgd"))
    outer: OuterSettings = field(default_factory=TrainedOuter)
    measure: MeasureSettings = field(
        default_factory=lambda: TrainedMeasure(test_networks=4, full_data_networks=1)
    )
    run: RunSettings = field(default_factory=TrainedRun)
    trained: TrainedNetworks = field(default_factory=TrainedNetworks)

    n_default: ClassVar[int] = 10
    as_fixed: ClassVar[bool] = True  # the defaults are those of a known initialisation

    def overrides(self) -> dict[str, Any]:
        """Defaults of this job in the place of the general ones."""
        steps = {} if is_timed(self.run) else {"outer_steps": 800 if self.network.init == "fixed" else 1200}
        return {"validation_networks": 2, **steps}

    @property
    def networks(self) -> int:
        """How many trained networks that takes."""
        if self.network.init == "fixed":
            return self.network.fixed_networks
        return self.measure.test_networks + int(self.measure.validation_networks) + self.trained.pool


@dataclass(frozen=True)
class SourceData:
    """The data that the networks are trained on first"""

    source: str = option("mnist", "DATA")
    """The data that the networks are trained on first: a name, an .npz file or a folder of images."""
    source_dir: str | None = option(None, "FOLDER", identity=False)
    """Where the files of a named source set are (default: bundled, or downloaded once)."""


@dataclass(frozen=True)
class AdaptSettings(TrainedSettings):
    """Learn images that adapt networks, trained on a source set, to a target set (Wang et al. 2018)."""

    data: DataSettings = field(default_factory=lambda: ImageData(dataset="usps"))
    source: SourceData = field(default_factory=SourceData)

    flags: ClassVar[dict[str, str]] = {"dataset": "target"}


@dataclass(frozen=True)
class Attack:
    """The attack"""

    attacked: str = option("7", "CLASS")
    """The class that the networks shall mistake, by its name."""
    target: str = option("1", "CLASS")
    """The class that they shall take it for, by its name."""


@dataclass(frozen=True)
class PoisonSettings(TrainedSettings):
    """Learn images that make trained networks mistake one class for another (Wang et al. 2018, section
    3.6)."""

    outer: OuterSettings = field(default_factory=lambda: TrainedOuter(start="noise"))
    attack: Attack = field(default_factory=Attack)

    is_judged: ClassVar[bool] = False  # its scores count the attacked class as the target
