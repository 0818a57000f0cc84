"""Training of a stage: from the words of its turns to optimisers, schedules of rates, and weighted losses.

`stage` is the object of a stage, `turns` makes its turns for the one loop of distill.student.loop, `search`
those of a search of layers. May import the rooms left of kd. The tables: SCHEDULES, how the rates of an
optimiser move (a class of torch.optim.lr_scheduler is a word too), and RAMPS, how the weight of a loss moves.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple


class Schedule(NamedTuple):
    """A schedule of rates: where its scheduler lives, and what it is.

    by: whether it takes a step after each "batch" or each "epoch". filled: the arguments that it gets where a
    recipe leaves them out, "steps" for the number of its steps in the stage, "rates" for the optimiser's.
    """

    place: str
    summary: str
    by: str
    filled: Mapping[str, str] = MappingProxyType({})


SCHEDULES = {
    "linear": Schedule(
        "distill.student.loop:fall_linearly", "in a straight line to zero", "batch", {"total": "steps"}
    ),
    "constant": Schedule("distill.kd.training.schedules:stay", "the same rate throughout", "batch"),
    "cosine": Schedule(
        "torch.optim.lr_scheduler:CosineAnnealingLR",
        "half a period of the cosine to eta_min (Loshchilov and Hutter 2017, eq. 5)",
        "batch",
        {"T_max": "steps"},
    ),
    "step": Schedule("torch.optim.lr_scheduler:StepLR", "times gamma after every step_size epochs", "epoch"),
    "multistep": Schedule(
        "torch.optim.lr_scheduler:MultiStepLR", "times gamma at each of the epochs milestones", "epoch"
    ),
    "exponential": Schedule(
        "torch.optim.lr_scheduler:ExponentialLR", "times gamma after each epoch", "epoch"
    ),
    "polynomial": Schedule(
        "torch.optim.lr_scheduler:PolynomialLR",
        "the share of the stage that is left, to the power",
        "batch",
        {"total_iters": "steps"},
    ),
    "one-cycle": Schedule(
        "torch.optim.lr_scheduler:OneCycleLR",
        "up to the optimiser's rate, then down, the momentum the other way (Smith and Topin 2019)",
        "batch",
        {"total_steps": "steps", "max_lr": "rates"},
    ),
}


class Ramp(NamedTuple):
    """A ramp of weights: where its function of (progress, from, to) lives, and what it is."""

    place: str
    summary: str
    by: str


RAMPS = {
    "constant": Ramp("distill.kd.training.ramps:constant", "stays at `from`", "batch"),
    "linear": Ramp("distill.kd.training.ramps:linear", "in a straight line", "batch"),
    "geometric": Ramp("distill.kd.training.ramps:geometric", "by the same factor in each batch", "batch"),
    "exponential": Ramp(
        "distill.kd.training.ramps:geometric",
        "by the same factor in each epoch: s · (f / s)^(e / N) (Nguyen-Meidine et al. 2020)",
        "epoch",
    ),
    "cosine": Ramp("distill.kd.training.ramps:cosine", "along half a period of the cosine", "batch"),
    "sigmoid": Ramp(
        "distill.kd.training.ramps:sigmoid",
        "along 2 / (1 + e^(-10 p)) - 1 of the progress p (Ganin and Lempitsky 2015)",
        "batch",
    ),
    "complement": Ramp("distill.kd.training.ramps:complement", "1 minus the ramp `of`", "batch"),
}
