"""Situation: what the defaults of a run's settings depend on."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from distill.data.models import is_model
from distill.runs.settings.run import RunSettings

SQUARED = "squared-error"
NORMED = ("", "convnet", "resnet", "vgg11", "resnet18")  # "" is the user's own network


@dataclass(frozen=True)
class Situation:
    """What defaults depend on."""

    n: int
    fixed: bool  # a known initialisation, rather than networks never seen
    text: bool
    encoded: bool  # texts as the embeddings of a sentence encoder
    convnet: bool
    bundled: bool  # the data set is in the package
    limited: bool  # --minutes ends the run
    brief: bool = False  # within two minutes
    unrolls: bool = True
    fixed_items: bool = False  # labels alone are learned
    by_class: bool = False  # the method brings real and synthetic items together, class by class
    method: str = "unroll"
    network: str = ""
    rule: str = ""
    inner_steps: int = 0
    lr_per: str = ""
    trained: bool = False  # --weights: the networks were trained before
    labels: str = ""
    inner_loss: str = ""
    min_horizon: int = 0
    max_horizon: int = 0
    pool_steps: int = 10  # of a visit, for methods with a pool that trains by SGD
    mnist: bool = False  # the data set of which the protocol dc changes the images
    start: str = ""  # of a saved set, its labels: regression, shares or signed

    @property
    def pretrained(self) -> bool:
        """The network is a pretrained transformer, whose steps cost much and learn fast."""
        return is_model(self.network)

    @property
    def random_unroll(self) -> bool:
        """A set is learned through the training of networks that nobody knows."""
        return self.method == "unroll" and not self.fixed

    @property
    def by_adam(self) -> bool:
        """Networks that nobody knows train as the protocol adam trains them: texts, or a pool."""
        unrolled = self.text and self.random_unroll and not self.pretrained
        return self.rule == "adam" and (unrolled or self.windowed)

    @property
    def probe(self) -> bool:
        """Embeddings learned through the protocol adam, where a thousand real texts cost no more than ten."""
        return self.encoded and self.by_adam and self.random_unroll

    @property
    def quick(self) -> bool:
        """Images for known weights, learned within two minutes: most of it is the way from chance."""
        is_new = not (self.text or self.trained or self.start)
        return self.brief and self.fixed and is_new and self.method == "unroll"

    @property
    def regresses(self) -> bool:
        """Networks of an unroll train on the labels by squared error."""
        return self.method == "unroll" and self.inner_loss == SQUARED

    @property
    def bounded(self) -> bool:
        """The inner loss has a lower bound, whatever the labels become."""
        return self.regresses or self.labels in ("softmax", "hard")

    @property
    def ridge(self) -> bool:
        """Ridge regression learns the set: on features, or by implicit gradients."""
        return self.method in ("frepo", "rcig")

    @property
    def implicit(self) -> bool:
        """Implicit gradients learn the set, by steps that cost much."""
        return self.method == "rcig"

    @property
    def windowed(self) -> bool:
        """The set is learned through windows of the training of a pool's networks."""
        return self.method == "rat-bptt"

    @property
    def by_trajectory(self) -> bool:
        """The set is learned from the trajectories of experts."""
        return self.method == "mtt"

    @property
    def recovers(self) -> bool:
        """A trained network's statistics make the items, and no student does."""
        return self.method == "sre2l"

    @property
    def pooled(self) -> bool:
        """The set is learned by networks of a pool, which are drawn and trained as torch's users do it."""
        return self.ridge or self.windowed or self.by_class

    @property
    def patient(self) -> bool:
        """Students train for long, as in the protocol dc: so do the networks of the pool."""
        return self.windowed or (self.by_class and not self.fixed and (self.encoded or not self.text))

    @property
    def normed(self) -> bool:
        """Momentum trains the network well: it has normalisation layers, or it is the user's."""
        return self.network in NORMED or self.network.endswith("-group")

    @property
    def plain_convnet(self) -> bool:
        """A ConvNet without normalisation, whose features torch's own weights make small."""
        return self.network in ("convnet-none", "convnet-doubling")

    @property
    def random_convnet(self) -> bool:
        """A random ConvNet: its steps cost much and learn fast."""
        return self.convnet and not self.fixed and not self.text


def is_timed(run: RunSettings) -> bool:
    """Whether time ends the run, rather than a number of outer steps."""
    return run.minutes is not None or run.distil_minutes is not None


def is_brief(run: RunSettings) -> bool:
    """Whether time ends the run within two minutes."""
    return min(m for m in (run.minutes, run.distil_minutes, math.inf) if m is not None) <= 2


def parametrisation_of(settings: Any) -> tuple[str, Mapping[str, Any]]:
    """The word and the options of a run's parametrisation."""
    return settings.outer.parametrisation, settings.outer.parametrisation_options


def count_items(n: int, word: str, options: Mapping[str, Any]) -> int:
    """How many items a network trains on: n, or more where a stored image decodes to several.

    Raises UserError.
    """
    if word == "pixels":
        return n
    from distill.outer.parametrisations.base import build_parametrisation  # torch, which --help does without

    return n * build_parametrisation(word, options).items_per_stored
