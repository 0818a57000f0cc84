"""Differentiable feature aggregation (Guan et al. 2020): which of a teacher's layers a student follows.

A group is a student's layer and several of the teacher's of one size; its aggregation is Σ_l softmax(α)_l ·
layer_l. Stage one searches α as DARTS does (Liu et al. 2019, first order), one step of each per batch: the
student and the connectors on one half of the items, α on the other half. The bridge loss has two paths. From
student to teacher: the student's layer, connected, must be near the aggregation and carry the teacher's tail
to the label; from teacher to student: the aggregation, connected back, must carry the student's tail to it.
Stage two is feature distillation with the α that stage one found.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from distill.errors import NetworkError
from distill.inner.losses import cross_entropy_with_any_labels
from distill.kd.losses.features import hint
from distill.kd.taps import forward_with_taps
from distill.student.loop import Batch, Loss


def aggregate_layers(layers: Sequence[Tensor], alpha: Tensor) -> Tensor:
    """Σ_l softmax(alpha)_l · layer_l."""
    return torch.stack([w * layer for w, layer in zip(alpha.softmax(dim=0), layers, strict=True)]).sum(dim=0)


@dataclass(frozen=True)
class Group:
    """A student's layer, the teacher's, their α, and the connectors to and from the teacher's channels."""

    tap: str
    layers: tuple[str, ...]
    alpha: Tensor
    to_teacher: nn.Module
    to_student: nn.Module

    def parameters(self) -> list[nn.Parameter]:
        """Those of both connectors."""
        return [*self.to_teacher.parameters(), *self.to_student.parameters()]

    def aggregation(self, taps: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum of the outputs of the teacher's layers."""
        return aggregate_layers([taps[layer] for layer in self.layers], self.alpha)


@dataclass(frozen=True)
class AggregationSearch:
    """The two losses of stage one, over the groups of one student and one frozen teacher."""

    student: nn.Module
    teacher: nn.Module
    groups: Sequence[Group]
    held_out: Iterator[Batch]

    def teacher_taps(self, x: Tensor) -> dict[str, Tensor]:
        """The outputs of the teacher's layers, without a graph."""
        with torch.no_grad():
            layers = [layer for group in self.groups for layer in group.layers]
            return forward_with_taps(self.teacher, x, layers)[1]

    def student_loss(self) -> Loss:
        """For the student and the connectors: the label, and both ways over each bridge."""

        def loss(batch: Batch) -> Tensor:
            logits, taps = forward_with_taps(self.student, batch.x, [group.tap for group in self.groups])
            teacher_taps = self.teacher_taps(batch.x)
            parts = [cross_entropy_with_any_labels(logits, batch.y)]
            for group in self.groups:
                connected = group.to_teacher(taps[group.tap])
                changes = {group.layers[-1]: replace_output(connected)}
                parts += [
                    hint(connected, group.aggregation(teacher_taps).detach()),
                    cross_entropy_with_any_labels(
                        forward_with_taps(self.teacher, batch.x, (), changes)[0], batch.y
                    ),
                    self.student_tail_loss(group, teacher_taps, batch),
                ]
            return torch.stack(parts).sum()

        return loss

    def alpha_loss(self) -> Loss:
        """For α, on the other half's items: how well the aggregations carry the student's tail."""

        def loss(_: Batch) -> Tensor:
            batch = next(self.held_out)
            taps = self.teacher_taps(batch.x)
            return torch.stack([self.student_tail_loss(group, taps, batch) for group in self.groups]).sum()

        return loss

    def student_tail_loss(self, group: Group, teacher_taps: Mapping[str, Tensor], batch: Batch) -> Tensor:
        """From teacher to student: the cross-entropy of the student's tail on a group's aggregation."""
        connected = group.to_student(group.aggregation(teacher_taps))
        changes = {group.tap: replace_output(connected)}
        return cross_entropy_with_any_labels(
            forward_with_taps(self.student, batch.x, (), changes)[0], batch.y
        )


def replace_output(value: Tensor) -> Callable[[Tensor], Tensor]:
    """A change of a module's output to this value. Raises NetworkError where sizes differ."""

    def change(output: Tensor) -> Tensor:
        if output.shape != value.shape:
            raise NetworkError(
                f"a layer of {tuple(output.shape)} cannot take the place of one of {tuple(value.shape)}:"
                " choose layers and a tap of one height and width"
            )
        return value

    return change
