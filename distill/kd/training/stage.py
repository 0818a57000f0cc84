"""Stage: one training of a recipe, with the objects that its words stand for."""

from dataclasses import dataclass

from distill.kd.networks import Networks
from distill.kd.recipe.parts import StagePart, TurnPart
from distill.student.loop import count_batches
from distill.student.training import Data


@dataclass(frozen=True)
class Stage:
    """One training: what a stage of a recipe says, with the objects that its words stand for."""

    part: StagePart
    where: str  # its key in the recipe; it seeds the stage
    networks: Networks  # those of the recipe, and the anchors kept so far
    data: Data
    classes: int
    seed: int
    target: Data | None = None

    @property
    def learners(self) -> Networks:
        """The networks that have a turn."""
        return {name: self.networks[name] for name in self.part.turns}

    @property
    def total(self) -> int:
        """How many batches the stage has."""
        return count_batches(self.data, self.part.batch, self.part.epochs)

    def turn(self, learner: str) -> TurnPart:
        """The turn of a learner."""
        return self.part.turns[learner]
