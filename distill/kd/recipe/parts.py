"""The dataclasses of a recipe: their fields are the keys of the YAML file. Imports no torch.

Data, networks, stages; each stage says which networks learn, from which losses, at which weights. Everything
else about a run follows from it. A part with SHORT may be written as the value of that key alone; one with
OPEN keeps the keys that are no fields in the field of this name. A field that Python reserves ends with "_".
"""

import re
from dataclasses import dataclass, field
from typing import Any

from distill.errors import UserError, quote
from distill.kd.recipe.turn_parts import BoundPart as BoundPart
from distill.kd.recipe.turn_parts import LossPart as LossPart
from distill.kd.recipe.turn_parts import OptimizerPart as OptimizerPart
from distill.kd.recipe.turn_parts import RampPart as RampPart
from distill.kd.recipe.turn_parts import SchedulePart as SchedulePart
from distill.kd.recipe.turn_parts import SearchPart as SearchPart
from distill.kd.recipe.turn_parts import TurnPart as TurnPart
from distill.registry import COUNT, EPOCHS, ITEMS, RATE, check_options, option

FILE_NAME = re.compile(r"\w[\w .+-]{0,99}")  # of a network: it is the name of a file in the run's folder


class RecipeError(UserError):
    """A recipe that cannot be run; the sentence names the file and the key."""


def check_numbers(part: Any, where: str) -> None:
    """Raise RecipeError where a number of a part is out of its range; where is the part's key."""
    try:
        check_options(part, lambda name: f"{where}.{name}")
    except UserError as error:
        raise RecipeError(str(error)) from None


@dataclass(frozen=True)
class DataPart:
    """The real data, and the distilled set if there is one."""

    name: str = "mnist"
    """A named set, an .npz file or a folder of images; sentences, trec … for texts."""
    dir: str | None = None
    """Where the files of a named set are."""
    vectors: str | None = None
    """Texts: the word vectors (default: those in the package)."""
    train: int | None = option(None, above=0)
    """Only so many training items, drawn at random (default: all)."""
    test: int | None = option(None, above=0)
    """Only so many test items (default: all)."""
    validation: float = option(0.0, at_least=0, below=1)
    """This share of the training items is held out: no network learns from it, and each epoch is measured."""
    merge: list[list[int]] | None = None
    """Classes that are merged: [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]] makes two classes of ten."""
    set: str | None = None
    """A distilled set, for stages with items: set."""
    target: str | None = None
    """Another set of the same classes, without its labels, for losses with domain: target."""
    target_dir: str | None = None
    """Where the target's files are."""
    score: str = "test"
    """What is measured on: test, or held-out (a tenth of the training items), for choosing."""


@dataclass(frozen=True)
class NetworkPart:
    """One network."""

    name: str = "convnet"
    """lenet, convnet … as everywhere, torchvision/resnet18 … for torchvision's classifiers, or mine:Tiny."""
    width: int | None = option(None, above=0, at_most=10**5, cost=(4000, "bytes"))
    """Its width, where it has one."""
    depth: int | None = option(None, above=0, at_most=1000, cost=(4000, "bytes"))
    """Its depth, where it has one."""
    separable: bool | None = None
    """convnet: depthwise and pointwise convolutions instead of full ones."""
    subclasses: int = option(1, above=0, at_most=10**5, cost=(4000, "bytes"))
    """Logits per class: a class's probability is the sum over its subclasses."""
    checkpoint: str | None = None
    """Weights to start from: what a recipe or --save wrote, or a state dict."""
    seed: int = 0
    """Networks of one architecture with the same seed start from the same weights."""
    between: list[str] | None = None
    """Two networks of this kind: the width that is not given is their geometric mean (an assistant's)."""
    mean_of: list[str] | None = None
    """An ensemble that never learns itself: the mean probabilities of the networks of these names."""
    arguments: dict[str, Any] = field(default_factory=dict)
    """Of a network of a plugin: what its constructor gets beside the shape of an item and the classes."""
    frozen: bool | list[str] = False
    """true: it never learns; or the modules of it, by their paths, that never do."""
    int8: bool = False
    """Measure it with weights and activations rounded to eight bits."""
    alphas: str | None = None
    """A file alphas.json of another run: the weights of its layers that a search found there."""


@dataclass(frozen=True)
class StagePart:
    """One training: in each batch the learners take their steps in this order."""

    turns: dict[str, TurnPart]
    """For each learner its losses."""
    epochs: int = option(1, **EPOCHS)
    """Passes over the items."""
    batch: int = option(64, **ITEMS)
    """Items per step."""
    optimizer: OptimizerPart = field(default_factory=OptimizerPart)
    """That of all turns."""
    lr: float = option(0.002, **RATE)
    """Its rate."""
    schedule: SchedulePart = field(default_factory=SchedulePart)
    """How its rate moves (default: it falls linearly to zero)."""
    train: int | None = option(None, above=0)
    """Only the first so many training items (default: all of data.train)."""
    items: str = "real"
    """real, or set: the distilled set of data.set."""
    augment: str = ""
    """Random changes of the items, as shift-scale-rotate."""
    mixup: float = option(0.0, at_least=0)
    """Items and labels mixed in pairs, the share from Beta(mixup, mixup)."""
    smoothing: float = option(0.0, at_least=0, below=1)
    """Label smoothing: the share of the label that is spread over all classes."""
    bootstrap: int | None = None
    """Items drawn with replacement, by this seed."""
    prune: float = option(0.0, at_least=0, below=1)
    """This share of the learners' weights, the smallest, is zero throughout the stage."""
    qat: bool = False
    """Quantisation-aware training: the learners compute with weights and inputs of layers of eight bits."""
    search: bool | SearchPart = False
    """The weights of aggregate losses are searched, on half of the items (DFA's first stage)."""
    keep: int = option(0, **{**COUNT, "above": None, "at_least": 0})
    """How many copies of each learner are kept, at equal distances along the stage: NAME@1, NAME@2 …"""
    route: str | None = None
    """The teacher of this name is replaced by the copies kept of it, early to late (route-constrained)."""
    anchors: list[int] | None = None
    """With route: the numbers of these copies, leg by leg (default: each once)."""
    gap: float = option(0.0, at_least=0)
    """With route: a copy nearer than this KL to the student, when its turn comes, is left out (greedy)."""
    restart: bool = True
    """With route: for each copy, the optimiser, its rates and the connectors begin anew."""


@dataclass(frozen=True)
class Recipe:
    """An experiment."""

    networks: dict[str, NetworkPart]
    """By name."""
    stages: list[StagePart]
    """In this order."""
    data: DataPart = field(default_factory=DataPart)
    """What is learned."""
    seed: int = 0
    """Seeds everything random."""
    plugins: list[str] = field(default_factory=list)
    """Python files with networks, losses and data sets of one's own: mine:Tiny is Tiny in mine.py."""

    def __post_init__(self) -> None:
        if not self.networks:
            raise RecipeError("networks: name at least one network")
        for name in self.networks:
            if not FILE_NAME.fullmatch(name):
                raise RecipeError(
                    f"networks: {quote(name)} cannot be the name of a file: use letters, digits, blanks and"
                    " . + - _ only, and a letter or digit first"
                )
