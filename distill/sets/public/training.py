"""How projects train a network on the images that they publish: the interface, and the field's usual code."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from distill.data.dataset import Dataset
from distill.networks.build import default_arguments
from distill.randomness import stream
from distill.sets.public.normalisation import VICO_MOMENTS, Moments, fit_kornia_zca, simplify_name

SIAMESE = "color-crop-cutout-flip-scale-rotate"  # the default of DM, MTT and DATM
SYMBOLS = ("mnist", "kmnist", "usps", "svhn")  # a flipped symbol is another symbol
WEIGHT_DECAY, BATCH, DEFAULT_LR = 0.0005, 256, 0.01


class Schedule(NamedTuple):
    """The items (T, b) of each step, its learning rate (T,), and what a reader should know about them."""

    items: Tensor
    lrs: Tensor
    remarks: tuple[str, ...] = ()


class Targets(NamedTuple):
    """Targets (n, classes) of the inner loss, its word in INNER_LOSSES, and what a reader should know."""

    labels: Tensor
    remark: str = ""
    loss: str = "soft-cross-entropy"


class Training(ABC):
    """A project's training of a network on its images. What differs from its code is said in remarks."""

    moments: ClassVar[Mapping[str, Moments]]
    """Its mean and std by data set."""
    weight_init: ClassVar[str]
    """How it draws initial weights: a word of distill.networks.initial."""
    rule: ClassVar[Mapping[str, Any]]
    """Its inner rule, as a set's file holds it."""

    @abstractmethod
    def make_targets(self, labels: Tensor, classes: int) -> Targets:
        """The targets for the labels of the file."""

    @abstractmethod
    def make_schedule(self, n: int, dataset: str, epochs: int | None, lr: float | None) -> Schedule:
        """The steps of a training on n items of a data set; epochs and lr replace the project's own."""

    @abstractmethod
    def choose_augmentation(self, dataset: str) -> tuple[str, str]:
        """The words of its augmentation for images of a data set, and a remark."""

    @abstractmethod
    def choose_network(self, dataset: str, shape: Sequence[int]) -> tuple[str, dict[str, Any]]:
        """The word and the arguments of its default network for images (channels, height, width)."""

    def whitens(self, dataset: str) -> bool:
        """Whether its code whitens the images of a data set without being asked."""
        return False

    def fit_whitening(self, train: Dataset, moments: Moments | None) -> dict[str, Tensor]:
        """Its ZCA whitening of pixels in [0, 1]."""
        return fit_kornia_zca(train)


def are_shares(labels: Tensor) -> bool:
    """Whether labels (n, classes) are not negative and sum to one."""
    sums = labels.sum(dim=1)
    return bool((labels >= 0).all()) and torch.allclose(sums, torch.ones_like(sums), atol=1e-3)


def encode_classes(labels: Tensor, classes: int) -> Tensor:
    """One-hot targets (n, classes) for class numbers (n,)."""
    return F.one_hot(labels.long(), classes).float()


@dataclass(frozen=True)
class EvaluateSynset(Training):
    """evaluate_synset() of VICO's DC, DSA and DM, and of MTT and DATM, whose code is a copy of it.

    SGD with momentum in shuffled batches; the rate is a tenth of `lr` in the second half of the epochs.
    siamese: with the augmentation of DSA (Zhao and Bilen 2021).
    """

    epochs: int
    lr: float | None = None
    siamese: bool = False

    moments = VICO_MOMENTS
    weight_init = "uniform"
    rule: ClassVar[Mapping[str, Any]] = {"rule": "sgd", "momentum": 0.9, "weight_decay": WEIGHT_DECAY}

    def make_targets(self, labels: Tensor, classes: int) -> Targets:
        """One-hot for class numbers; soft labels through a softmax, as DATM's loss takes them."""
        if not labels.is_floating_point():
            return Targets(encode_classes(labels, classes))
        if are_shares(labels):
            return Targets(labels.float(), "its labels are shares already and taken as they are")
        return Targets(labels.float().softmax(dim=1), "its labels are logits: their softmax is the target")

    def count_epochs(self, dataset: str) -> int:
        """The project's epochs on a data set."""
        return self.epochs

    def make_schedule(self, n: int, dataset: str, epochs: int | None, lr: float | None) -> Schedule:
        """One epoch more than asked for, as the project's loop runs."""
        total, batch = epochs or self.count_epochs(dataset), min(n, BATCH)
        rate = next(value for value in (lr, self.lr, DEFAULT_LR) if value is not None)
        items = shuffle_epochs(n, total + 1, batch)
        epoch = torch.arange(len(items)) * batch // n
        lrs = torch.where(epoch <= total // 2 + 1, rate, rate / 10)
        remarks = [
            f"SGD, rate {rate:g}, momentum 0.9, weight decay {WEIGHT_DECAY:g}, {total + 1} epochs in batches"
            f" of {batch}; where the rate falls the project's own code"
            " restarts the momentum, distill does not"
        ]
        if lr is None and self.lr is None and self.siamese:
            remarks.append("the file holds no learning rate: `distill import --lr` takes that of the run")
        return Schedule(items, lrs, tuple(remarks))

    def choose_augmentation(self, dataset: str) -> tuple[str, str]:
        """The siamese augmentation, without the flip where the images are symbols."""
        if not self.siamese:
            return "", ""
        augmentation = SIAMESE.replace("flip-", "") if simplify_name(dataset) in SYMBOLS else SIAMESE
        return augmentation, describe_augmentation(augmentation)

    def choose_network(self, dataset: str, shape: Sequence[int]) -> tuple[str, dict[str, Any]]:
        """ConvNet of depth 3, deeper for images above 32 pixels; biases are zero, where torch draws them."""
        return choose_convnet(shape)


def describe_augmentation(augmentation: str) -> str:
    """The remark on an augmentation."""
    return (
        f"augmented by {augmentation}: distill draws one change for the whole batch,"
        " the project's own code one for each image"
    )


def choose_convnet(shape: Sequence[int], **arguments: Any) -> tuple[str, dict[str, Any]]:
    """The field's ConvNet for images (channels, height, width), with the given arguments."""
    padding = {"padding": 3} if shape[0] == 1 else {}
    return "convnet", default_arguments("convnet", shape) | padding | arguments


def shuffle_epochs(n: int, epochs: int, batch: int) -> Tensor:
    """Batches (T, batch) of n items in a new order each epoch; a batch may reach into the next epoch."""
    if n == batch:
        return torch.arange(n).repeat(epochs, 1)
    order = torch.cat([torch.randperm(n, generator=stream("foreign", e)) for e in range(epochs)])
    return order[: len(order) // batch * batch].view(-1, batch)
