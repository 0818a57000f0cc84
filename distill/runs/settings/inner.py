"""Inner training: how a network is trained on the synthetic items."""

from dataclasses import dataclass, field

from distill.inner import RULES
from distill.inner.engines import ENGINES
from distill.outer import RATE_PROFILES
from distill.registry import AUTO, RATE, Auto, option

PlugInOptions = dict[str, float | bool | str | None]  # what a method or an engine brings with it


@dataclass(frozen=True)
class InnerSettings:
    """Inner training: how a network is trained on the synthetic items"""

    inner_steps: Auto[int] = option(AUTO, "T", above=0, at_most=10**5, cost=(40_000, "bytes"))
    """T, the number of training steps on the synthetic items."""
    batch: Auto[int] = option(AUTO, "ITEMS", above=0)
    """Synthetic items per inner step; it must divide n."""
    rule: Auto[str] = option(AUTO, "RULE", choices=RULES)
    """How a network is trained on the items: sgd, momentum (SGD with momentum 0.9) or adam."""
    lr: Auto[float] = option(AUTO, "LR", **RATE)
    """The inner learning rate at the start; --method unroll learns it from there."""
    lr_per: Auto[str] = option(AUTO, "UNIT", choices=("step", "tensor"), noun="unit")
    """A learned learning rate for each step, or for each step and parameter tensor."""
    lr_profile: Auto[str] = option(AUTO, "PROFILE", choices=RATE_PROFILES, noun="profile of rates")
    """The shape of the first rates over inner steps and parameter tensors."""
    engine: Auto[str] = option(AUTO, "ENGINE", choices=ENGINES)
    """How the outer gradient is computed (--engine ENGINE --help shows an engine's own options)."""
    engine_options: PlugInOptions = field(default_factory=dict)
    compile: bool = option(False)
    """Compile the inner step of an image network by torch.compile (on a CPU this needs a C++ compiler). It
    takes a minute at the start. On a CPU it saves nothing: lenet and mlp are faster without, by steps of
    their own, and others as fast."""
    checkpoint_blocks: bool = option(False)
    """Activation checkpointing, for large images: the blocks of an image network keep their inputs alone and
    are computed again for each gradient, in the inner steps and for the real items. The gradient is the same,
    in a third of the memory and 1.6 times the time (128×128, width 32, 64 real items)."""


@dataclass(frozen=True)
class TextInner(InnerSettings):
    """Inner training: how a network is trained on the synthetic items"""

    compile: bool = False  # no option: it is for image networks
    checkpoint_blocks: bool = False  # no option either
