"""Step: what one inner update consumes."""

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor


class Step(NamedTuple):
    """What one inner update consumes: x (b, *item), y (b, classes), lr () or (g,) per parameter tensor."""

    x: Tensor
    y: Tensor
    lr: Tensor


class AttentionStep(NamedTuple):
    """A Step whose rows of attention (b, length), each a distribution, say where the first token looks."""

    x: Tensor
    y: Tensor
    lr: Tensor
    attention: Tensor


def extend_steps(steps: Sequence[Step], count: int | None) -> list[Step]:
    """The steps, all or `count` of them; beyond the last they come round again at its learning rate."""
    later = range(len(steps), count or 0)
    return [*steps, *(steps[t % len(steps)]._replace(lr=steps[-1].lr) for t in later)][:count]
