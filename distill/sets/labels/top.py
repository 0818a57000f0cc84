"""Labels of many classes by their largest values, in fewer bytes: what is kept, and the labels it stands for.

Notation: of a label p of c classes the k largest values are kept, with the numbers of their classes. Its
tail is what these values lack of one; it is taken as spread equally over the c - k other classes.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Float16, Integer
from torch import Tensor

from distill.errors import SetError, quote

CLASS_DTYPES = {2**8: torch.uint8, 2**15: torch.int16, 2**31: torch.int32}  # by how many classes they number
KEYS = ("values", "classes", "count")


@dataclass(frozen=True, repr=False, eq=False)
class TopLabels:
    """The k largest values of each label of views × n × count, which are probabilities.

    Indexed as a tensor of that shape would be, by a view or by a view and items, it answers dense labels.
    values float16 (views, n, k); classes (views, n, k), whole numbers of class_dtype(count); count: of the
    classes. Raises SetError where they are no such labels.
    """

    values: Tensor
    classes: Tensor
    count: int

    def __post_init__(self) -> None:
        check_tensors(self.values, self.classes, self.count)
        for values, classes in zip(
            self.values, self.classes, strict=True
        ):  # one by one: sorting takes memory
            check_labels(values, classes, self.count)

    @staticmethod
    def keep(views: Iterable[Tensor], k: int) -> "TopLabels":
        """The k largest values of views (n, count) of labels, which are never all in memory at once."""
        values, classes, counts = zip(*((*keep_top(view, k), view.shape[1]) for view in views), strict=True)
        return TopLabels(torch.stack(values), torch.stack(classes), counts[0])

    @staticmethod
    def from_dict(content: dict[Any, Any]) -> "TopLabels":
        """The labels of what a file holds. Raises SetError."""
        if set(content) != set(KEYS):
            raise SetError(f"view_labels must be a tensor, or a dict of {', '.join(KEYS)}")
        return TopLabels(**content)

    def to_dict(self) -> dict[str, Any]:
        """What a file holds of the labels."""
        return {name: getattr(self, name) for name in KEYS}

    def __len__(self) -> int:
        return len(self.values)

    def __getitem__(self, index: Any) -> Tensor:
        """Dense labels (…, count)."""
        return expand(self.values[index], self.classes[index], self.count)

    @property
    def shape(self) -> tuple[int, ...]:
        """(views, n, count), that of the dense labels."""
        return (*self.values.shape[:-1], self.count)

    @property
    def k(self) -> int:
        """How many values of each label are kept."""
        return self.values.shape[-1]

    @property
    def words(self) -> str:
        """'the 5 largest of 100 values'."""
        return f"the {f'{self.k:,} ' * (self.k > 1)}largest of {self.count:,} values"

    @property
    def nbytes(self) -> int:
        """The bytes that the labels take."""
        return self.values.nbytes + self.classes.nbytes

    def to(self, device: str | torch.device) -> "TopLabels":
        """The same labels on a device."""
        return TopLabels(self.values.to(device), self.classes.to(device), self.count)


def keep_top(
    labels: Float[Tensor, "*labels count"], k: int
) -> tuple[Float16[Tensor, "*labels k"], Integer[Tensor, "*labels k"]]:
    """The k largest values of each label, the largest first, and the numbers of their classes."""
    values, classes = labels.topk(k, dim=-1)
    return values.half(), classes.to(class_dtype(labels.shape[-1]))


def expand(
    values: Float16[Tensor, "*labels k"], classes: Integer[Tensor, "*labels k"], count: int
) -> Float[Tensor, "*labels count"]:
    """Dense labels, float32, with the tail spread equally over the other classes; rows sum to one.

    No value differs from that of the whole label by more than its tail and 2^-10, the rounding of float16;
    where all classes are kept, none by more than 2^-10 of itself.
    """
    kept = values.float()
    tail = (1 - kept.sum(dim=-1, keepdim=True)).clamp(min=0)
    others = tail / max(count - kept.shape[-1], 1)
    labels = others.expand(*kept.shape[:-1], count).scatter(-1, classes.long(), kept)
    return labels / labels.sum(
        dim=-1, keepdim=True
    )  # one, but for the rounding of values that are nearly all


def class_dtype(count: int) -> torch.dtype:
    """The smallest whole numbers that can name each of so many classes."""
    return next(dtype for most, dtype in CLASS_DTYPES.items() if count <= most)


def bytes_per_label(k: int, count: int) -> int:
    """The bytes of a label of which k values are kept; whole, it takes four for each class."""
    return k * (torch.float16.itemsize + class_dtype(count).itemsize)


def check_tensors(values: Any, classes: Any, count: Any) -> None:
    """Raise SetError for what is not k values and k class numbers of each label of each view."""
    if type(count) is not int or not 2 <= count <= max(CLASS_DTYPES):
        raise SetError(f"view_labels.count must be the number of classes, not {quote(count)}")
    expected = {"values": (values, torch.float16), "classes": (classes, class_dtype(count))}
    for name, (tensor, dtype) in expected.items():
        if not isinstance(tensor, Tensor) or tensor.dtype != dtype or tensor.ndim != 3:
            actual = f"{tensor.dtype} {list(tensor.shape)}" if isinstance(tensor, Tensor) else quote(tensor)
            raise SetError(f"view_labels.{name} must be {dtype} numbers, views × n × k, not {actual}")
    if values.shape != classes.shape or not values.numel() or values.shape[-1] > count:
        shapes = f"{list(values.shape)} and {list(classes.shape)}"
        raise SetError(
            f"view_labels.values and classes must be as many, 1 to {count} of each label, not {shapes}"
        )


def check_labels(values: Tensor, classes: Tensor, count: int) -> None:
    """Raise SetError where kept values (n, k) are no part of probabilities, or classes none of `count`."""
    if not (values.isfinite() & (values >= 0)).all():
        raise SetError("view_labels.values must be finite and at least 0: labels are probabilities")
    k, sums = values.shape[-1], values.sum(dim=-1, dtype=torch.float32)
    rounding = 2**-10 + k * 2**-24  # twice that of values, of those below 2^-14 too
    if sums.max() > 1 + rounding or (k == count and sums.min() < 1 - rounding):
        worst = sums[(sums - 1).abs().argmax()]
        raise SetError(f"view_labels.values of a label add up to {worst:.4g}: labels are probabilities")
    if classes.min() < 0 or classes.max() >= count:
        raise SetError(f"view_labels.classes names classes outside 0 … {count - 1}")
    ordered = classes.sort(dim=-1).values
    if (ordered[:, 1:] == ordered[:, :-1]).any():
        raise SetError("view_labels.classes names a class twice for one label: each has one value")
