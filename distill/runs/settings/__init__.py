"""The settings of a run in parts: data, network, inner training, outer loop, method, measuring, the run.

Each part is a small frozen dataclass. --n is the one dial: what is None here gets a default that suits n, the
initialisation and the kind of data (defaults). Nothing here imports torch, so that --help answers at once.
"""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from distill.runs.settings.data import DataSettings, ImageData, TextData
from distill.runs.settings.inner import InnerSettings, TextInner
from distill.runs.settings.measure import MeasureSettings
from distill.runs.settings.network import ImageNetwork, NetworkSettings, TextNetwork
from distill.runs.settings.outer import OuterSettings, TextOuter
from distill.runs.settings.run import RunSettings

__all__ = [
    "DataSettings",
    "ImageData",
    "ImageNetwork",
    "ImageSettings",
    "InnerSettings",
    "MeasureSettings",
    "NetworkSettings",
    "OuterSettings",
    "RunSettings",
    "Settings",
    "TextData",
    "TextInner",
    "TextNetwork",
    "TextOuter",
    "TextSettings",
]


@dataclass(frozen=True)
class Settings:
    """All parts of a run's settings; ImageSettings and TextSettings say where the items come from."""

    data: DataSettings = field(default_factory=DataSettings)
    network: NetworkSettings = field(default_factory=NetworkSettings)
    inner: InnerSettings = field(default_factory=InnerSettings)
    outer: OuterSettings = field(default_factory=OuterSettings)
    measure: MeasureSettings = field(default_factory=MeasureSettings)
    run: RunSettings = field(default_factory=RunSettings)

    n_default: ClassVar[int] = 5
    as_fixed: ClassVar[bool] = False  # the defaults of a known initialisation, whatever --init says
    is_judged: ClassVar[bool] = True  # the scores say how good the set is
    flags: ClassVar[dict[str, str]] = {}  # options that this job calls otherwise: {field: flag}

    def overrides(self) -> dict[str, Any]:
        """Defaults of a job in the place of the general ones."""
        return {}


@dataclass(frozen=True)
class ImageSettings(Settings):
    """Distil a set of real images into a few synthetic ones, and measure what they are worth."""

    data: DataSettings = field(default_factory=ImageData)
    network: NetworkSettings = field(default_factory=ImageNetwork)


@dataclass(frozen=True)
class TextSettings(Settings):
    """Distil a set of real texts into a few learned sequences of word vectors, and measure them."""

    data: DataSettings = field(default_factory=TextData)
    network: NetworkSettings = field(default_factory=TextNetwork)
    inner: InnerSettings = field(default_factory=TextInner)
    outer: OuterSettings = field(default_factory=TextOuter)

    n_default: ClassVar[int] = 2
