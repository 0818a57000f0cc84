"""Stage: one training of a recipe, with the objects that its words stand for."""

from dataclasses import dataclass, field

from distill.kd.networks import Networks
from distill.kd.recipe.parts import StagePart
from distill.kd.state.stage import StageState
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
    state: StageState = field(default_factory=StageState)  # where a stage that goes on stands
    leg: int = 0  # which leg of a route it is

    @property
    def learners(self) -> Networks:
        """The networks that have a turn."""
        return {name: self.networks[name] for name in self.part.turns}

    @property
    def total(self) -> int:
        """How many batches the stage has."""
        return count_batches(self.data, self.part.batch, self.part.epochs)

    def learns(self, name: str) -> bool:
        """Whether a network changes in this stage: it has a turn, or it is an ensemble of some that have."""
        return any(learner in self.part.turns for learner in (name, *self.networks[name].parts))
