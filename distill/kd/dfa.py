"""Differentiable feature aggregation (Guan et al. 2020): which of a teacher's layers a student should follow.

A group is a student's layer and several of the teacher's of one size; its aggregation is Σ_l softmax(α)_l ·
layer_l. Stage one searches α as DARTS does (Liu et al. 2019, first order), one step of each per batch: the
student and the connectors on one half of the items, α on the other half. The bridge loss has two paths. From
student to teacher: the student's layer, connected, must be near the aggregation and carry the teacher's tail
to the label; from teacher to student: the aggregation, connected back, must carry the student's tail to it.
Stage two is feature distillation with what was found.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from distill.errors import NetworkError
from distill.inner.losses import cross_entropy_with_any_labels
from distill.kd.losses import hint
from distill.kd.taps import tapped
from distill.student.loop import Batch, Loss
from distill.student.training import Weights


def aggregated(layers: Sequence[Tensor], alpha: Tensor) -> Tensor:
    """Σ_l softmax(alpha)_l · layer_l."""
    return torch.stack([w * layer for w, layer in zip(alpha.softmax(dim=0), layers, strict=True)]).sum(dim=0)


@dataclass
class Group:
    """A student's layer, the teacher's, their α, and the connectors to and from the teacher's channels."""

    tap: str
    layers: tuple[str, ...]
    alpha: Tensor
    there: nn.Module
    back: nn.Module

    def parameters(self) -> list[nn.Parameter]:
        return [*self.there.parameters(), *self.back.parameters()]

    def target(self, taps: Mapping[str, Tensor]) -> Tensor:
        """The aggregation of what the teacher's layers answered."""
        return aggregated([taps[layer] for layer in self.layers], self.alpha)


@dataclass
class Search:
    """The two losses of stage one, over the groups of one student and one frozen teacher."""

    student: tuple[nn.Module, Weights]
    teacher: tuple[nn.Module, Weights]
    groups: Sequence[Group]
    held_out: Iterator[Batch]

    def told(self, x: Tensor) -> dict[str, Tensor]:
        """What the teacher's layers answer, without a graph."""
        with torch.no_grad():
            return tapped(*self.teacher, x, [layer for group in self.groups for layer in group.layers])[1]

    def student_loss(self) -> Loss:
        """For the student and the connectors: the label, and both ways over each bridge."""

        def loss(batch: Batch) -> Tensor:
            logits, taps = tapped(*self.student, batch.x, [group.tap for group in self.groups])
            told = self.told(batch.x)
            parts = [cross_entropy_with_any_labels(logits, batch.y)]
            for group in self.groups:
                sent = group.there(taps[group.tap])
                parts += [
                    hint(sent, group.target(told).detach()),
                    cross_entropy_with_any_labels(
                        tapped(*self.teacher, batch.x, (), {group.layers[-1]: put(sent)})[0], batch.y
                    ),
                    self.crossing(group, told, batch),
                ]
            return torch.stack(parts).sum()

        return loss

    def alpha_loss(self) -> Loss:
        """For α, on the other half's items: how well the aggregations carry the student's tail."""

        def loss(_: Batch) -> Tensor:
            other = next(self.held_out)
            told = self.told(other.x)
            return torch.stack([self.crossing(group, told, other) for group in self.groups]).sum()

        return loss

    def crossing(self, group: Group, told: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """From teacher to student: the cross-entropy of the student's tail on a group's aggregation."""
        sent = group.back(group.target(told))
        return cross_entropy_with_any_labels(
            tapped(*self.student, batch.x, (), {group.tap: put(sent)})[0], batch.y
        )


def put(value: Tensor) -> Callable[[Tensor], Tensor]:
    """A change of a module's answer that ignores it. Raises NetworkError where sizes differ."""

    def change(old: Tensor) -> Tensor:
        if old.shape != value.shape:
            raise NetworkError(
                f"a layer of {tuple(old.shape)} cannot take the place of one of {tuple(value.shape)}: choose"
                " layers and a tap of one height and width"
            )
        return value

    return change
