"""Step: what one inner update consumes."""

from collections.abc import Sequence
from typing import Any, NamedTuple

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


AnyStep = Step | AttentionStep


def add_attention(steps: Sequence[Step], rows: Sequence[Tensor]) -> list[AttentionStep]:
    """The steps with attention labels (b, length) for each; these come round where they are fewer."""
    return [AttentionStep(s.x, s.y, s.lr, rows[t % len(rows)]) for t, s in enumerate(steps)]


def extend_steps(steps: Sequence[Any], count: int | None) -> list[Any]:
    """The steps, all or `count` of them; beyond the last they come round again at its learning rate."""
    later = range(len(steps), count or 0)
    return [*steps, *(steps[t % len(steps)]._replace(lr=steps[-1].lr) for t in later)][:count]
