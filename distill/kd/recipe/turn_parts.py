"""The dataclasses of a turn: its losses, optimiser and schedule, and how a weight moves. Imports no torch."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

from distill.kd.losses import KD_LOSSES, RENAMED, KDLoss
from distill.registry import AUTO, RATE, Auto, option


@dataclass(frozen=True)
class RampPart:
    """A weight that moves along the stage."""

    ramp: str
    """How it moves: a word of RAMPS."""
    from_: float | None = None
    """Its value at the beginning (default: 0)."""
    to: float | None = None
    """Its value at the end (default: 1)."""
    by: str | None = None
    """When it moves: after each batch or each epoch (default: the ramp's own)."""
    of: "RampPart | None" = None
    """complement: the ramp that is taken from 1."""
    times: "RampPart | None" = None
    """Another ramp, by which this one is multiplied."""


@dataclass(frozen=True)
class BoundPart:
    """A bound that a loss shall not exceed: its weight becomes a multiplier that rises while it does."""

    at_most: float
    """The bound ε on the unweighted loss."""
    lr: float = option(0.01, **RATE)
    """The rate of the multiplier: after each batch the weight gains lr · (loss - ε), and is at least 0."""


@dataclass(frozen=True)
class LossPart:
    """One term of the loss of a network that learns."""

    loss: str = "cross-entropy"
    """The name of a loss: see the catalogue."""
    weight: Auto[float | RampPart] = AUTO
    """Its factor, or the ramp along which it moves (default: the published one of the loss)."""
    until: float | None = None
    """The factor at the end of the stage; it changes geometrically (default: it stays)."""
    bound: BoundPart | None = None
    """The loss shall not exceed a bound, and the factor is where its multiplier starts (ProKT)."""
    teacher: str | None = None
    """The network whose output is matched."""
    tau: Auto[float] = AUTO
    """The temperature (default: the published one of the loss)."""
    tap: str | None = None
    """The learner's module whose output is used, by its path (default: the logits)."""
    teacher_tap: str | None = None
    """The teacher's module (default: the same path)."""
    layers: list[str] | None = None
    """aggregate: the teacher's modules, of one size, whose weighted sum is matched."""
    alpha: str = "searched"
    """aggregate: the weights of the layers: searched, or as controls mean or random."""
    domain: str = "source"
    """source, or target: the unlabelled items of data.target."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "loss", RENAMED.get(self.loss, self.loss))
        published = KD_LOSSES.get(self.loss, KDLoss("", "", ()))  # of a word that is none: refused later
        for name in ("weight", "tau"):
            if getattr(self, name) is None:
                object.__setattr__(self, name, getattr(published, name))


@dataclass(frozen=True)
class OptimizerPart:
    """An optimiser; its other keys are arguments of its class, as momentum."""

    SHORT: ClassVar[str] = "name"
    OPEN: ClassVar[str] = "arguments"
    name: str = "Adam"
    """Any of torch.optim that takes a step without a closure, in any case."""
    arguments: dict[str, Any] = field(default_factory=dict)
    """Those of its constructor; its rate is the stage's where they have no lr."""


@dataclass(frozen=True)
class SchedulePart:
    """How the rates of an optimiser move along a stage; its other keys are arguments of a scheduler."""

    SHORT: ClassVar[str] = "name"
    OPEN: ClassVar[str] = "arguments"
    name: str = "linear"
    """A word of SCHEDULES, or a class of torch.optim.lr_scheduler."""
    by: str | None = None
    """When the scheduler takes a step, which its arguments count: after each batch or each epoch."""
    warmup: float = 0.0
    """Over so many epochs the rates rise in a straight line to the schedule's."""
    arguments: dict[str, Any] = field(default_factory=dict)
    """Those of its constructor."""


@dataclass(frozen=True)
class TurnPart:
    """What one network learns from in each batch, and how; what is left out is as the stage says."""

    SHORT: ClassVar[str] = "losses"
    losses: list[LossPart]
    """The summands of its loss."""
    optimizer: OptimizerPart | None = None
    """Its optimiser."""
    schedule: SchedulePart | None = None
    """How its rates move."""
    frozen: list[str] | None = None
    """Modules of the network, by their paths, that do not learn."""


@dataclass(frozen=True)
class SearchPart:
    """The search of the weights of aggregate losses (DFA's first stage)."""

    lr: float = option(0.02, **RATE)
    """The rate of Adam on α, β₁ = 0.5 (DARTS: 3e-4 in 20,000 steps; a small search has hundreds)."""
    warmup: int = option(0, at_least=0)
    """So many epochs in which α stays even, while the student and the connectors learn."""
    ts: float = option(1.0, at_least=0)
    """The weight γ of the path from teacher to student."""
    st: float = option(1.0, at_least=0)
    """The weight γ of the path from student to teacher."""
    regulariser: float = option(1e-3, at_least=0)
    """λ of λ / 2 · Σ α² in the loss of α."""
