"""Differentiable feature aggregation (Guan et al. 2020): which of a teacher's layers a student follows.

Both networks have groups of layers of one height and width. In group i, S_i is the student's layer, T_ij are
the teacher's, and the aggregation is A_i = Σ_j softmax(α_i)_j · T_ij (eq. 2). Stage one searches α by the
bridge loss, Σ_i γ_ts · L_ts,i + γ_st · L_st,i (section 3.3), which has two paths:

    teacher to student   L_ts,i = CE(y, the student's tail after group i, on c_ts(A_i)): is A_i worth it?
    student to teacher   L_st,i = mean (c_st(S_i) - A_i)²: can the student come near A_i?

The connectors c are 1×1 convolutions. As in DARTS (Liu et al. 2019, first order), the student and the
connectors take a step on one half of the items, on their own cross-entropy and the bridge loss; then α takes
one on the other half, on the bridge loss and a regulariser, λ / 2 · Σ α². Both players hold both paths, and
nothing is detached but what the other player owns. Stage two is feature distillation with the α of stage one.

Where we differ: all groups are searched at once (the paper searches group after group: several stages with
search, one group each, do that), and the distance is the mean over places and channels rather than the sum.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from distill.errors import NetworkError
from distill.inner.losses import cross_entropy_with_any_labels
from distill.kd.taps import forward_with_taps
from distill.student.loop import Batch, Loss


def aggregate_layers(layers: Sequence[Tensor], alpha: Tensor) -> Tensor:
    """Σ_j softmax(alpha)_j · layer_j, a tensor like each of the layers."""
    return torch.stack([w * layer for w, layer in zip(alpha.softmax(dim=0), layers, strict=True)]).sum(dim=0)


@dataclass(frozen=True)
class Group:
    """A student's layer, the teacher's, their α, and the connectors to and from the teacher's channels."""

    tap: str
    layers: tuple[str, ...]
    alpha: Tensor
    to_teacher: nn.Module
    to_student: nn.Module

    def aggregation(self, taps: Mapping[str, Tensor], alpha: Tensor) -> Tensor:
        """The weighted sum of the outputs of the teacher's layers."""
        return aggregate_layers([taps[layer] for layer in self.layers], alpha)


@dataclass(frozen=True)
class AggregationSearch:
    """The losses of the two players of stage one, over the groups of one student and one frozen teacher."""

    student: nn.Module
    teacher: nn.Module
    groups: Sequence[Group]
    held_out: Callable[[Batch], Batch]  # the batch of α's half beside one of the student's
    ts: float = 1.0  # γ_ts
    st: float = 1.0  # γ_st
    regulariser: float = 1e-3  # λ

    def student_loss(self) -> Loss:
        """For the student and the connectors: the cross-entropy, and the bridge loss at a constant α."""

        def loss(batch: Batch) -> Tensor:
            logits, student_taps = self.student_pass(batch)
            alphas = [group.alpha.detach() for group in self.groups]
            return cross_entropy_with_any_labels(logits, batch.y) + self.bridge(batch, student_taps, alphas)

        return loss

    def alpha_loss(self) -> Loss:
        """For α, on the other half's items: the bridge loss and the regulariser."""

        def loss(batch: Batch) -> Tensor:
            batch = self.held_out(batch)
            alphas = [group.alpha for group in self.groups]
            squares = torch.stack([alpha.square().sum() for alpha in alphas]).sum()
            with keep_buffers(self.student):  # it is the other player's turn
                student_taps = self.student_pass(batch)[1]
            return self.bridge(batch, student_taps, alphas) + self.regulariser / 2 * squares

        return loss

    def student_pass(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The student's logits, and its layers."""
        return forward_with_taps(self.student, batch.x, [group.tap for group in self.groups])

    def bridge(self, batch: Batch, student_taps: Mapping[str, Tensor], alphas: Sequence[Tensor]) -> Tensor:
        """Σ over the groups of both paths, with gradients into α, the connectors and the student."""
        with torch.no_grad():
            layers = [layer for group in self.groups for layer in group.layers]
            teacher_taps = forward_with_taps(self.teacher, batch.x, layers)[1]
        parts = []
        for group, alpha in zip(self.groups, alphas, strict=True):
            aggregation = group.aggregation(teacher_taps, alpha)
            parts.append(self.ts * self.cross_to_student(group, aggregation, batch))
            parts.append(self.st * cross_to_teacher(group, student_taps[group.tap], aggregation))
        return torch.stack(parts).sum()

    def cross_to_student(self, group: Group, aggregation: Tensor, batch: Batch) -> Tensor:
        """L_ts: the cross-entropy of the student's tail on a group's aggregation."""
        changes = {group.tap: replace_output(group.to_student(aggregation))}
        with keep_buffers(self.student):  # averages of batch norm are of the student's own features alone
            logits, _ = forward_with_taps(self.student, batch.x, (), changes)
        return cross_entropy_with_any_labels(logits, batch.y)


@contextmanager
def keep_buffers(network: nn.Module) -> Iterator[None]:
    """Within, the network has copies of its buffers, which forward may move, as batch norm does."""
    holders = [(module._buffers, dict(module._buffers)) for module in network.modules()]
    for buffers, originals in holders:
        buffers.update({name: b.clone() for name, b in originals.items() if b is not None})
    try:
        yield
    finally:
        for buffers, originals in holders:
            buffers.update(originals)


def cross_to_teacher(group: Group, layer: Tensor, aggregation: Tensor) -> Tensor:
    """L_st: the mean squared distance of the student's layer, connected, from the aggregation."""
    return (group.to_teacher(layer) - aggregation).square().mean()


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
