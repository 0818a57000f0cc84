"""Dataset: items, labels, class names and normalisation of a real data set, as tensors."""

import math
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from distill.data.classes import match_classes
from distill.data.files.limits import check_memory
from distill.data.pictures.stored import StoredItems, take_rows
from distill.errors import DataError

if TYPE_CHECKING:
    Items = Tensor  # what is stored answers as one
else:
    Items = Tensor | StoredItems


@dataclass(frozen=True)
class Dataset:
    """One split of a real set: all items and labels as tensors on one device.

    items (N, channels, height, width), uint8 or float in [0, 1], or whitened (zca), or a user's own
    (N, *item); or StoredItems, which are in memory beside the device or on disk; labels (N,) long. mean and
    std hold one value per channel. batch() is the one place where items are decoded.
    """

    name: str
    items: Items
    labels: Tensor
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    zca: dict[str, Tensor] | None = field(default=None, kw_only=True)  # how the items were whitened
    remarks: tuple[str, ...] = field(default=(), kw_only=True)  # on what was read otherwise than it may look

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        shape = "×".join(map(str, self.shape))
        return f"Dataset({len(self)} items {shape} of {len(self.classes)} classes, {self.name})"

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
        centred = self.items[indices].float() - mean
        return centred.div_(std), self.labels[indices]  # in its place: a batch of large images is a lot

    def select(self, indices: Tensor) -> "Dataset":
        """The items at indices, with the same classes and normalisation."""
        return replace(self, items=take_rows(self.items, indices), labels=self.labels[indices])

    def relabel(self, old: int, new: int) -> "Dataset":
        """The same items; those of the class old have the label new."""
        return replace(self, labels=self.labels.where(self.labels != old, new))

    def with_classes(self, classes: Sequence[str], owner: str) -> "Dataset":
        """The same items, their labels renumbered to the order of these classes, which are those of `owner`.

        Raises DataError where the classes are others; match_classes() says when.
        """
        return renumber_classes([self], classes, owner)[0]

    def with_places(self, places: Sequence[int], classes: Sequence[str]) -> "Dataset":
        """The same items with these classes, and for each class its place among them as the label."""
        if tuple(classes) == self.classes:
            return self
        table = torch.tensor(places, device=self.labels.device)
        return replace(self, labels=table[self.labels], classes=tuple(classes))

    def split(self, held_out: int, generator: torch.Generator) -> tuple["Dataset", "Dataset"]:
        """(the rest, held_out items drawn without replacement); the rest keeps one item of each class.

        Fewer are held out where that takes it: an item that no other of its class follows in the order stays.
        """
        order = torch.randperm(len(self), generator=generator)
        labels, place = self.labels.cpu()[order], torch.arange(len(self))
        last = torch.zeros(int(labels.max()) + 1).long().scatter_reduce(0, labels, place, "amax")
        is_free = place != last[labels]
        is_held = is_free & (is_free.cumsum(0) <= held_out)
        rest, held = (order[part].to(self.items.device) for part in (~is_held, is_held))
        return self.select(rest), self.select(held)

    def hold_out(self, most: int, generator: torch.Generator) -> tuple["Dataset", "Dataset"]:
        """(the rest, at most so many and a tenth, to choose by). Raises DataError where there are too few."""
        if len(self) < 10:
            raise DataError(
                f"{self.name} has {len(self)} training items: at least 10 are needed, one in ten chooses"
            )
        train, held_out = self.split(min(most, len(self) // 10), generator)
        if not len(held_out):
            raise DataError(
                f"{self.name} has one training item of each class: none can be held out to choose by; give at"
                " least one class a second item"
            )
        return train, held_out

    def class_indices(self, label: int) -> Tensor:
        """The indices of a class's items."""
        return torch.nonzero(self.labels == label).flatten()

    def draw_items(self, classes: Sequence[int], generator: torch.Generator) -> Tensor:
        """The indices of random items, one for each of these classes.

        No item comes twice before all of its class have come. Raises DataError for a class without items.
        """
        wanted, picks = torch.tensor(classes), torch.empty(len(classes), dtype=torch.long)
        for label in wanted.unique().tolist():
            members, places = self.class_indices(label).cpu(), (wanted == label).nonzero().flatten()
            if not len(members):
                raise DataError(f'{self.name} has no training item of class "{self.classes[label]}"')
            rounds = -(-len(places) // len(members))
            order = [torch.randperm(len(members), generator=generator) for _ in range(rounds)]
            picks[places] = members[torch.cat(order)[: len(places)]]
        return picks.to(self.labels.device)

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
        """Sentences on what part of this split is not read, or otherwise than it may look."""
        return list(self.remarks)


def renumber_classes(splits: Sequence[Dataset], classes: Sequence[str], owner: str) -> list[Dataset]:
    """Splits of one data set, their labels renumbered to the order of these classes, those of `owner`.

    A remark on their classes is made once. Raises DataError where they are others.
    """
    names = {split.classes: split.name for split in reversed(splits)}
    places = {words: match_classes(words, classes, name, owner) for words, name in names.items()}
    return [split.with_places(places[split.classes], classes) for split in splits]


def check_labels(name: str, train: Tensor, test: Tensor, classes: int) -> None:
    """Raise DataError where a label is no class, or there is one class only."""
    for split, labels in (("train", train), ("test", test)):
        wrong = labels[(labels < 0) | (labels >= classes)]
        if len(wrong):
            valid = f"{classes} classes are 0 … {classes - 1}"
            mend = ": of labels -1 and 1 give (label + 1) // 2" if set(labels.tolist()) == {-1, 1} else ""
            raise DataError(f"{name}: the {split} label {int(wrong[0])} is out of range: {valid}{mend}")
    if classes < 2:
        raise DataError(f"{name} has {classes} class: at least two are needed")


def check_class_names(name: str, classes: tuple[str, ...]) -> None:
    """Raise DataError where two classes have one name, or a name is not text."""
    for word, count in Counter(classes).items():
        if count > 1:
            raise DataError(f'{name} has {count} classes of the name "{word[:80]}": give each its own')
        if word.encode("utf-8", "replace").decode() != word:
            raise DataError(f"{name}: the class name {ascii(word)[:80]} is not valid text: rename it")


def print_remarks(*splits: Dataset) -> None:
    """Write the remarks on these splits to stderr."""
    for split in splits:
        for remark in split.remarks:
            print(remark, file=sys.stderr)


def resize_images(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Images (N, C, *size): bilinear, floats in [0, 1]; unchanged where they have that size.

    Raises DataError where they would not fit into the memory.
    """
    if tuple(x.shape[2:]) == size:
        return x
    if isinstance(x, StoredItems):
        raise DataError("images on disk cannot be resized here: give --image-size, or --keep device")
    pixels = f"{len(x):,} images of {size[0]}×{size[1]} pixels"
    check_memory(4 * len(x) * x.shape[1] * math.prod(size), pixels, "give a smaller --image-size")
    white = 255.0 if x.dtype == torch.uint8 else 1.0
    return F.interpolate(x.float() / white, size, mode="bilinear", align_corners=False).clamp(0, 1)


LEAST_STD = 1e-6  # less is rounding, of a channel that is constant
MANY = 2**29  # numbers, of which a copy as floats takes too much of the memory


def sum_mean_std(x: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The same from sums over parts of the items."""
    white, count = 255.0 if x.dtype == torch.uint8 else 1.0, x[:, 0].numel()
    total, squares = (torch.zeros(x.shape[1], dtype=torch.float64) for _ in range(2))
    for part in x.split(1000):
        part = part.double().div_(white)
        total += part.sum(dim=(0, 2, 3)).cpu()
        squares += (part**2).sum(dim=(0, 2, 3)).cpu()
    mean = total / count
    variance = ((squares - count * mean**2) / (count - 1)).clamp(min=0)
    return tuple(mean.tolist()), tuple(v**0.5 if v > LEAST_STD**2 else 1.0 for v in variance.tolist())


def channel_mean_std(x: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and std per channel of items (N, C, H, W), scaled to [0, 1]; std 1 where a channel is constant."""
    if x.numel() > MANY:
        return sum_mean_std(x)
    channels = [x[:, c].float() for c in range(x.shape[1])]
    if x.dtype == torch.uint8:
        channels = [c.div_(255.0) for c in channels]
    return tuple(float(c.mean()) for c in channels), tuple(
        std if (std := float(c.std())) > LEAST_STD else 1.0 for c in channels
    )
