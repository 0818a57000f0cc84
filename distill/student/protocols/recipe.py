"""SetRecipe: a student by the set's own steps and learning rates."""

from dataclasses import dataclass

import torch
from torch import nn

from distill.inner.problem import Loss
from distill.sets.distilled import DistilledSet
from distill.student.training import Student, Weights, assemble_problem, replay


@dataclass(frozen=True)
class SetRecipe:
    """The set's own steps, rule and learning rates; it draws nothing from the generator.

    inner_loss is needed where the set was learned with a function of the user's, which no file can hold.
    """

    inner_loss: Loss | None = None

    def train(
        self, data: DistilledSet, network: nn.Module, weights: Weights, generator: torch.Generator
    ) -> Student:
        """A student by `replay`."""
        return replay(data, assemble_problem(data, network, self.inner_loss), weights)
