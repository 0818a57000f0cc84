"""A learner's loss: the weighted sum of the losses that the recipe lists for its turn.

Systems that are an order of turns, without a loss of their own, have no file: chains of teachers, born-again
networks, mutual learning and ProKT. docs/reference/kd.md has their equations, and where we differ.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from distill.kd.losses import LOGIT_LOSSES, evaluate_loss
from distill.kd.losses.multiplier import Multiplier
from distill.kd.losses.response import find_regularisation_samples
from distill.kd.plugins.files import is_plugin
from distill.kd.plugins.losses import evaluate_own_loss, find_loss
from distill.kd.recipe.parts import LossPart, RampPart, RecipeError
from distill.kd.state.meter import Meter
from distill.kd.taps import Outputs
from distill.kd.techniques.aggregation import aggregate_layers
from distill.kd.training.ramps import geometric, linear, ramp_value
from distill.student.loop import Batch


@dataclass(frozen=True)
class WeightedLoss:
    """One summand of a learner's loss; `where` is its key in the recipe."""

    part: LossPart
    where: str
    connector: nn.Module | None = None
    alpha: Tensor | None = None  # of the layers of an aggregation
    multiplier: Multiplier | None = None  # of a bound

    @property
    def modules(self) -> list[nn.Module]:
        """What moves with the learner."""
        return [module for module in (self.connector, self.multiplier) if module is not None]

    def weight(self, batch: Batch) -> float:
        """The factor at a batch: that of the ramp, or moving to `until` (straight where one end is zero).

        Of a loss with a bound it is the multiplier.
        """
        if self.multiplier is not None:
            return float(self.multiplier.value)
        first, last = self.part.weight, self.part.until
        if isinstance(first, RampPart):
            return ramp_value(first, batch)
        if last is None:
            return first
        return (geometric if first > 0 < last else linear)(batch.progress, first, last)

    def value(self, learner: str, outputs: Outputs, labels: Tensor) -> Tensor:
        """The unweighted loss of a learner. Raises RecipeError where shapes do not go together."""
        part, loss = self.part, find_loss(self.part.loss, self.where)
        student, second_output = outputs(learner, part.tap, part.domain), self.second_output(learner, outputs)
        try:
            connected = self.connector(student) if self.connector else student
            inputs = {"student": connected, "labels": labels, "tau": part.tau}
            inputs |= dict.fromkeys(("teacher", "plain", "target"), second_output)
            if is_plugin(part.loss):
                return evaluate_own_loss(loss, inputs, part.loss, self.where)
            return evaluate_loss(loss, inputs)
        except (RuntimeError, IndexError, ValueError, TypeError):
            shapes = f"{tuple(student.shape)}"
            shapes += "" if second_output is None else f" of {learner} beside {tuple(second_output.shape)}"
            raise RecipeError(
                f"{self.where}: the loss {part.loss} cannot take {shapes}: look at its taps"
            ) from None

    def share_regularising(self, learner: str, outputs: Outputs, labels: Tensor) -> float | None:
        """The share of regularisation samples (Zhou et al. 2021) in a batch, for losses on logits."""
        part = self.part
        if part.teacher is None or part.loss not in LOGIT_LOSSES or part.tap or part.domain != "source":
            return None
        logits = outputs(learner, None, "source"), outputs(part.teacher, None, "source")
        return float(find_regularisation_samples(*logits, labels, part.tau).mean())

    def second_output(self, learner: str, outputs: Outputs) -> Tensor | None:
        """The second output that the loss compares the student's with, if it takes one."""
        part, takes = self.part, find_loss(self.part.loss, self.where).takes
        for domain in ("plain", "target"):
            if domain in takes:
                return outputs(learner, part.tap, domain)
        if part.teacher is None:
            return None
        if self.alpha is None:
            return outputs(part.teacher, part.teacher_tap or part.tap, part.domain)
        layers = [outputs(part.teacher, layer, part.domain) for layer in part.layers or ()]
        return aggregate_layers(layers, self.alpha)


def sum_losses(
    losses: Sequence[WeightedLoss], learner: str, outputs: Outputs, batch: Batch, meter: Meter | None = None
) -> Tensor:
    """Σ weight · value over a learner's losses on a batch; a meter adds them to its sums.

    Then multipliers of bounds move.
    """
    weights = [loss.weight(batch) for loss in losses]
    values = [loss.value(learner, outputs, batch.y) for loss in losses]
    if meter is not None:
        shares = [loss.share_regularising(learner, outputs, batch.y) for loss in losses]
        meter.add_summands(weights, values, shares)
    for loss, value in zip(losses, values, strict=True):
        if loss.multiplier is not None:
            loss.multiplier.ascend(value)
    return torch.stack([weight * value for weight, value in zip(weights, values, strict=True)]).sum()
