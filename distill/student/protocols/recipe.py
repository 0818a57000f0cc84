"""SetRecipe: a student by the set's own steps and learning rates."""

from dataclasses import dataclass

import torch
from torch import nn

from distill.inner.problem import Loss
from distill.registry import STEPS, check_options, option, python_name
from distill.sets.distilled import DistilledSet
from distill.student.training import Student, Weights, assemble_problem, replay


@dataclass(frozen=True)
class SetRecipe:
    """The set's own steps, rule and learning rates; it draws nothing from the generator.

    steps: how many; beyond the recipe's end items come round again at the last learning rate, which shows
    whether a set survives that. inner_loss is needed where the set was learned with a function of the user's,
    which no file can hold.
    """

    inner_loss: Loss | None = None
    steps: int | None = option(None, **STEPS)

    def __post_init__(self) -> None:
        check_options(self, python_name)

    def train(
        self, data: DistilledSet, network: nn.Module, weights: Weights, generator: torch.Generator
    ) -> Student:
        """A student by `replay`."""
        return replay(data, assemble_problem(data, network, self.inner_loss), weights, self.steps)
