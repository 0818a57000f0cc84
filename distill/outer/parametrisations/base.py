"""Parametrisation: the contract of every parametrisation's file, and what those of images share.

Notation: --n says n. The codes are tensors by name, "items" first; they decode to m = n · items_per_stored
items. A learned row of labels serves items_per_label items: item j has the label row j mod r of r rows.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from distill.errors import UserError
from distill.outer.parametrisations import PARAMETRISATIONS
from distill.registry import check_options, find, python_name

Codes = dict[str, Tensor]


@dataclass(frozen=True)
class Parametrisation(ABC):
    """How codes become items, differentiably. A leaf is a frozen dataclass of plain values.

    Its option() fields are its settings; other fields are what fit() learns of the data. All of them stand in
    the file of a set beside the codes.
    """

    word: ClassVar[str]  # in PARAMETRISATIONS

    def __post_init__(self) -> None:
        check_options(self, python_name)

    @property
    def items_per_stored(self) -> int:
        """How many items one of the n that are stored decodes to."""
        return 1

    @property
    def items_per_label(self) -> int:
        """How many items share a learned label."""
        return 1

    def fit(self, n: int, shape: Sequence[int], classes: int) -> "Parametrisation":
        """The parametrisation of n images of this shape, its defaults filled in. Raises UserError."""
        if len(shape) != 3:
            raise UserError(
                f"--parametrisation {self.word} is for images, and these items are none: leave it out"
            )
        return self

    @abstractmethod
    def encode(self, items: Float[Tensor, "m *item"]) -> Codes:
        """The codes whose items are nearest to these: least squares."""

    @abstractmethod
    def decode(self, codes: Codes) -> Float[Tensor, "m *item"]:
        """The items of codes, differentiable in each of them."""

    @abstractmethod
    def decoded_shape(self, codes: Codes) -> tuple[int, ...]:
        """(m, *item) of codes of a file, before they are decoded. Raises ValueError where they do not fit."""


def build_parametrisation(word: str, options: Mapping[str, Any]) -> Parametrisation:
    """The parametrisation of a word of PARAMETRISATIONS with these options, unfitted. Raises UserError."""
    parametrisation: Parametrisation = find(PARAMETRISATIONS, "parametrisation", word)(**options)
    return parametrisation


def transform_axes(
    x: Float[Tensor, "*b h w"], rows: Float[Tensor, "k h"], columns: Float[Tensor, "l w"]
) -> Float[Tensor, "*b k l"]:
    """rows · x · columnsᵀ: a matrix for the height of images, one for their width."""
    return rows.to(x) @ x @ columns.to(x).T


def check_axes(codes: Codes, names: Sequence[str], axes: int) -> None:
    """Raise ValueError unless codes are tensors of these names, none empty, "items" with so many axes."""
    if list(codes) != list(names):
        raise ValueError(f"codes hold {', '.join(codes) or 'nothing'} in the place of {', '.join(names)}")
    for name, tensor in codes.items():
        if tensor.numel() == 0:
            raise ValueError(f"codes.{name} is empty")
    if codes["items"].ndim != axes:
        raise ValueError(f"codes.items has {codes['items'].ndim} axes, not {axes}")


def invert_columns(matrix: Float[Tensor, "h k"]) -> Float[Tensor, "k h"]:
    """The pseudo-inverse of a tall matrix, in float64."""
    return torch.linalg.pinv(matrix.double())
