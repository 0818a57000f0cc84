"""The protocol of kernel ridge regression: Adam and the squared error, with a warm-up and a cosine."""

import math
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from distill.data.augment.each import Augment
from distill.registry import ITEMS, RATE, STEPS, check_options, option, python_name
from distill.sets.distilled import DistilledSet
from distill.student import LABELS
from distill.student.protocols.augment import FREPO, build_changes, is_digit_set, is_of_clothes
from distill.student.protocols.base import Plan, PlannedProtocol
from distill.student.protocols.standard import choose_augmentation
from distill.student.protocols.targets import SQUARED_ERROR, choose_targets

STEPS_BY_SIZE = {  # step_per_prototpyes of the authors' script/eval.py
    10: 1000, 100: 2000, 200: 20_000, 400: 5000, 500: 5000, 1000: 10_000, 2000: 40_000, 5000: 40_000,
}  # fmt: skip
WORDS = "flip-color-crop-rotate-translate-cutout"
LAST_SHARE = 0.01  # of the rate, at the end of the cosine
WARMUP: dict[str, Any] = {"at_least": 0, "at_most": 10**9}


@dataclass(frozen=True)
class FRePo(PlannedProtocol):
    """Adam 3e-4 on half the squared error to the set's labels (Zhou et al. 2022, yongchaoz/FRePo).

    The rate rises for 500 steps and falls as a cosine to a hundredth. steps: by default 1,000 for up to ten
    items, 2,000 for up to a hundred, and so on as in the authors' table. Labels that are no regression's
    become label_scale · (shares - 1 / classes). augment: auto (one of six changes for each batch, without the
    flip for digits and Fashion-MNIST), none, or some of the words flip, color, crop, rotate, translate,
    cutout.
    """

    steps: int | None = option(None, **STEPS)
    lr: float = option(0.0003, **RATE)
    warmup: int = option(500, **WARMUP)
    batch: int = option(500, **ITEMS)
    labels: str = option("auto", choices=LABELS, noun="label map")
    label_scale: float = option(1.0, **RATE)
    augment: str = option("auto")

    def __post_init__(self) -> None:
        check_options(self, python_name)

    def plan(self, data: DistilledSet) -> Plan:
        """The training on this set. Raises UserError for items that it cannot serve."""
        return Plan(
            choose_targets(data, SQUARED_ERROR, self.labels, self.label_scale),
            partial(torch.optim.Adam, lr=self.lr),
            warm_up_and_fall(self.steps or count_steps(len(data)), self.warmup, LAST_SHARE),
            self.batch,
            augment=choose_frepo(data, self.augment),
        )


def count_steps(n: int) -> int:
    """The authors' number of steps for n items: that of the next larger size of their table."""
    return next((steps for size, steps in STEPS_BY_SIZE.items() if n <= size), 40_000)


def warm_up_and_fall(steps: int, warmup: int, last: float) -> list[float]:
    """Factors of the rate: t / warmup, then a cosine from 1 to last; a short training warms up for half."""
    warmup = min(warmup, steps // 2)
    falling = max(steps - warmup, 1)
    rising = [t / warmup for t in range(warmup)]
    return rising + [
        last + (1 - last) * (1 + math.cos(math.pi * t / falling)) / 2 for t in range(steps - warmup)
    ]


def choose_frepo(data: DistilledSet, words: str) -> Augment | None:
    """The changes of FRePo by their words. Raises UserError."""
    fixed = is_digit_set(data) or is_of_clothes(data)
    default = WORDS.replace("flip-", "") if fixed else WORDS
    return choose_augmentation(data, words, default, partial(build_changes, FREPO))
