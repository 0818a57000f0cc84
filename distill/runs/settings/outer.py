"""The outer loop: the method, and how the synthetic items are improved."""

from dataclasses import dataclass, field

from distill.methods import METHODS
from distill.outer import OUTER_RULES, STARTS
from distill.outer.parametrisations import PARAMETRISATIONS
from distill.registry import AUTO, COUNT, ITEMS, RATE, STEPS, Auto, Entry, option
from distill.runs.settings.inner import PlugInOptions

AUTO_METHOD = "auto"
METHOD_WORDS = METHODS | {
    AUTO_METHOD: Entry(
        "",
        "images and new random networks: rat-bptt for convnet, up to 20 and from 3 minutes, else frepo; else"
        " unroll",
    )
}


@dataclass(frozen=True)
class OuterSettings:
    """Outer loop: how the synthetic items are improved"""

    method: str = option(AUTO_METHOD, "METHOD", choices=METHOD_WORDS, first=True)
    """What an outer step minimises (--method METHOD --help shows a method's own options)."""
    method_options: PlugInOptions = field(default_factory=dict)
    start: Auto[str] = option(AUTO, "START", choices=STARTS, file=".pt")
    """What the items are at the start: real items, noise, the means of their classes (k-means centres, if a
    class has several items), the set that --method frepo distils in the first seventh of the run, or a saved
    SET.pt of the same n, with its labels, and with its learning rates if the number of steps is the same."""
    fixed_items: bool = option(False, needs={"labels": ("soft", "softmax")})
    """Learn the labels alone: the items stay what they are at the start (Bohdal et al. 2020)."""
    parametrisation: str = option("pixels", "WORD", choices=PARAMETRISATIONS)
    """What is learned and stored in the place of images. All but pixels decode more or larger images than
    their bytes hold, and are compared with real images of as many bytes (--parametrisation WORD --help shows
    a parametrisation's own options)."""
    parametrisation_options: PlugInOptions = field(default_factory=dict)
    outer_steps: Auto[int] = option(AUTO, "STEPS", **STEPS)
    """How often the synthetic items are updated."""
    outer_batch: Auto[int] = option(AUTO, "ITEMS", **ITEMS)
    """Real items per outer step."""
    networks_per_step: int = option(1, "COUNT", **COUNT)
    """How many networks an outer step uses, each with its own real items; their gradients are averaged."""
    outer_rule: Auto[str] = option(AUTO, "RULE", choices=OUTER_RULES)
    """How what is learned moves along its gradient."""
    outer_lr: Auto[float] = option(AUTO, "LR", **RATE)
    """The outer learning rate for the items."""
    label_lr_scale: Auto[float] = option(AUTO, "FACTOR", **RATE, needs={"labels": ("soft", "softmax")})
    """The outer learning rate for the labels, as a multiple of --outer-lr."""
    lr_lr_scale: Auto[float] = option(AUTO, "FACTOR", at_least=0, at_most=RATE["at_most"])
    """The outer learning rate for the inner learning rates, as a multiple of --outer-lr; 0: they stay as
    they are."""
    ema_decay: Auto[float] = option(AUTO, "DECAY", at_least=0, at_most=1)
    """Decay of the exponential moving average (EMA) of what is learned."""
    warmup: Auto[int] = option(AUTO, "STEPS", above=0)
    """Over how many outer steps the outer learning rates rise from zero; at most a tenth of the run."""
    autocast: str | None = option(None, "NUMBERS", choices=("bfloat16",), noun="numbers")
    """Pass the batch of real items through the network in numbers of 16 bits (torch.autocast): faster where
    the device has them and the network is wide, with a gradient that is about one percent another one. What
    is learned stays in float32."""
    augment: str = option("", "CHANGES")
    """Random changes of synthetic and real images, joined by hyphens, such as shift-scale-rotate (also: crop,
    cutout, color, flip)."""


@dataclass(frozen=True)
class TextOuter(OuterSettings):
    """Outer loop: how the synthetic items are improved"""

    augment: str = ""  # no option: it is for images
    parametrisation: str = "pixels"  # no option either
    autocast: str | None = None  # no option either
