"""Dataset: items, labels, class names and normalisation of a real data set, as tensors."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from distill.errors import DataError


@dataclass(frozen=True)
class Dataset:
    """One split of a real set: all items and labels as tensors on one device.

    items (N, channels, height, width), uint8 or float in [0, 1], or whitened (zca), or (N, *item) of one's
    own; labels (N,) long. mean and std hold one value per channel. batch() is the one place where items are
    decoded.
    """

    name: str
    items: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    zca: dict[str, Tensor] | None = field(default=None, kw_only=True)  # how the items were whitened

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one item, as batch() returns it."""
        return tuple(self.items.shape[1:])

    @cached_property
    def _scaling(self) -> tuple[Tensor, Tensor]:
        whole = 255.0 if self.items.dtype == torch.uint8 else 1.0
        channels = (-1, *[1] * (self.items.ndim - 2))
        mean, std = (torch.tensor(v, device=self.items.device).view(channels) for v in (self.mean, self.std))
        return mean * whole, std * whole

    def batch(self, indices: Tensor | slice) -> tuple[Float[Tensor, "b *item"], Int[Tensor, " b"]]:
        """x, normalised to mean 0 and std 1 per channel, and y."""
        mean, std = self._scaling
        return (self.items[indices].float() - mean) / std, self.labels[indices]

    def subset(self, indices: Tensor) -> "Dataset":
        """The items at indices, with the same facts."""
        return replace(self, items=self.items[indices], labels=self.labels[indices])

    def relabelled(self, old: int, new: int) -> "Dataset":
        """The same items, those of the class old with the label new."""
        return replace(self, labels=self.labels.where(self.labels != old, new))

    def split(self, held_out: int, generator: torch.Generator) -> tuple["Dataset", "Dataset"]:
        """(the rest, held_out items drawn without replacement)."""
        order = torch.randperm(len(self), generator=generator).to(self.items.device)
        return self.subset(order[held_out:]), self.subset(order[:held_out])

    def of_class(self, label: int) -> Tensor:
        """The indices of a class's items."""
        return torch.nonzero(self.labels == label).flatten()

    def fits(self, items: Tensor) -> bool:
        """Whether a network for learned items can read these."""
        return tuple(items.shape[1:]) == self.shape

    def start(self, indices: Tensor) -> Float[Tensor, "b *item"]:
        """Real items with which to start learning."""
        return self.batch(indices)[0]

    def noise(self, n: int, generator: torch.Generator) -> Float[Tensor, "n *item"]:
        """Noise of the spread of real items with which to start learning."""
        return torch.randn(n, *self.shape, generator=generator).to(self.items.device)

    def varied(self, x: Float[Tensor, "b *item"], generator: torch.Generator) -> Float[Tensor, "b *item"]:
        """Real items as an outer step sees them."""
        return x

    def text(self, items: Tensor) -> dict[str, Any] | None:
        """What a set of learned items has to carry of words: nothing for images."""
        return None

    def remarks(self) -> list[str]:
        """What a reader of this split's scores should know."""
        return []


def check_labels(name: str, train: Tensor, test: Tensor, classes: int) -> None:
    for part, labels in (("train", train), ("test", test)):
        wrong = labels[(labels < 0) | (labels >= classes)]
        if len(wrong):
            known = f"{classes} classes are 0 … {classes - 1}"
            raise DataError(f"{name}: the {part} label {int(wrong[0])} is out of range: {known}")
    if classes < 2:
        raise DataError(f"{name} has {classes} class: at least two are needed")


def scaled(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Images (N, C, *size): bilinear, floats in [0, 1]; the same ones where they have that size."""
    if tuple(x.shape[2:]) == size:
        return x
    whole = 255.0 if x.dtype == torch.uint8 else 1.0
    return F.interpolate(x.float() / whole, size, mode="bilinear", align_corners=False).clamp(0, 1)


def moments(x: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and std per channel of items (N, C, H, W), scaled to [0, 1]; std 1 where a channel is constant."""
    whole = 255.0 if x.dtype == torch.uint8 else 1.0
    channels = [x[:, c].float() / whole for c in range(x.shape[1])]
    return tuple(float(c.mean()) for c in channels), tuple(float(c.std()) or 1.0 for c in channels)
