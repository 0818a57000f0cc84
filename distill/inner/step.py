"""Step: what one inner update consumes."""

from typing import NamedTuple

from torch import Tensor


class Step(NamedTuple):
    """What one inner update consumes: x (b, *item), y (b, classes), lr () or (g,) per parameter tensor."""

    x: Tensor
    y: Tensor
    lr: Tensor
