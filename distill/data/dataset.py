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

    items (N, channels, height, width), uint8 or float in [0, 1], or whitened (zca), or a user's own
    (N, *item); labels (N,) long. mean and std hold one value per channel. batch() is the one place where
    items are decoded.
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
    def _mean_std(self) -> tuple[Tensor, Tensor]:
        """mean and std in the units of items, with the channels in their place."""
        white = 255.0 if self.items.dtype == torch.uint8 else 1.0
        channels = (-1, *[1] * (self.items.ndim - 2))
        mean, std = (
            torch.tensor(v, dtype=torch.float32, device=self.items.device).view(channels)
            for v in (self.mean, self.std)
        )
        return mean * white, std * white

    def batch(self, indices: Tensor | slice) -> tuple[Float[Tensor, "b *item"], Int[Tensor, " b"]]:
        """x, normalised to mean 0 and std 1 per channel, and y."""
        mean, std = self._mean_std
        return (self.items[indices].float() - mean) / std, self.labels[indices]

    def select(self, indices: Tensor) -> "Dataset":
        """The items at indices, with the same classes and normalisation."""
        return replace(self, items=self.items[indices], labels=self.labels[indices])

    def relabel(self, old: int, new: int) -> "Dataset":
        """The same items; those of the class old have the label new."""
        return replace(self, labels=self.labels.where(self.labels != old, new))

    def split(self, held_out: int, generator: torch.Generator) -> tuple["Dataset", "Dataset"]:
        """(the rest, held_out items drawn without replacement)."""
        order = torch.randperm(len(self), generator=generator).to(self.items.device)
        return self.select(order[held_out:]), self.select(order[:held_out])

    def class_indices(self, label: int) -> Tensor:
        """The indices of a class's items."""
        return torch.nonzero(self.labels == label).flatten()

    def matches_items(self, items: Tensor) -> bool:
        """Whether a network for these learned items can read the real ones."""
        return tuple(items.shape[1:]) == self.shape

    def initial_items(self, indices: Tensor) -> Float[Tensor, "b *item"]:
        """Real items in the shape of the learned ones, which may start from them."""
        return self.batch(indices)[0]

    def draw_noise(self, n: int, generator: torch.Generator) -> Float[Tensor, "n *item"]:
        """n items of noise with the spread of real ones, from which learning may start."""
        return torch.randn(n, *self.shape, generator=generator).to(self.items.device)

    def drop_words(self, x: Float[Tensor, "b *item"], generator: torch.Generator) -> Float[Tensor, "b *item"]:
        """A batch without some of its words, as an outer step uses it; images have none to drop."""
        return x

    def text_metadata(self, items: Tensor) -> dict[str, Any] | None:
        """What the file of a learned set says of its words; None for images."""
        return None

    def coverage_notes(self) -> list[str]:
        """Sentences on what part of this split a network cannot read; none for images."""
        return []


def check_labels(name: str, train: Tensor, test: Tensor, classes: int) -> None:
    """Raise DataError where a label is no class, or there is one class only."""
    for split, labels in (("train", train), ("test", test)):
        wrong = labels[(labels < 0) | (labels >= classes)]
        if len(wrong):
            valid = f"{classes} classes are 0 … {classes - 1}"
            raise DataError(f"{name}: the {split} label {int(wrong[0])} is out of range: {valid}")
    if classes < 2:
        raise DataError(f"{name} has {classes} class: at least two are needed")


def resize_images(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Images (N, C, *size): bilinear, floats in [0, 1]; unchanged where they have that size."""
    if tuple(x.shape[2:]) == size:
        return x
    white = 255.0 if x.dtype == torch.uint8 else 1.0
    return F.interpolate(x.float() / white, size, mode="bilinear", align_corners=False).clamp(0, 1)


def channel_mean_std(x: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and std per channel of items (N, C, H, W), scaled to [0, 1]; std 1 where a channel is constant."""
    white = 255.0 if x.dtype == torch.uint8 else 1.0
    channels = [x[:, c].float() / white for c in range(x.shape[1])]
    return tuple(float(c.mean()) for c in channels), tuple(float(c.std()) or 1.0 for c in channels)
