"""ReportedRun: what the folder of a recipe's run holds, of which nothing is taken on trust."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from distill.report.sanitise import JsonDict, shorten, to_count, to_dict


@dataclass(frozen=True)
class ReportedRun:
    """A run of a recipe: the recipe as text and as plain values, its scores, its log, its searched α."""

    name: str
    path: str  # of its folder
    recipe_text: str = ""
    recipe: JsonDict = field(default_factory=dict)
    result: JsonDict = field(default_factory=dict)  # what scores.json holds; empty before the run's end
    log: Sequence[JsonDict] = ()
    alphas: JsonDict = field(default_factory=dict)

    @property
    def networks(self) -> JsonDict:
        """The recipe's networks by name, each with its keys."""
        return {name: to_dict(part) for name, part in to_dict(self.recipe.get("networks")).items()}

    @property
    def stages(self) -> list[JsonDict]:
        """The recipe's stages, each with its keys."""
        stages = self.recipe.get("stages")
        return [to_dict(stage) for stage in stages] if isinstance(stages, list) else []

    @property
    def scores(self) -> JsonDict:
        """The scores of each network by their words."""
        return {name: to_dict(scores) for name, scores in to_dict(self.result.get("networks")).items()}

    @property
    def data(self) -> JsonDict:
        """The recipe's keys of the data."""
        return to_dict(self.recipe.get("data"))

    @property
    def split(self) -> str:
        """'test' or 'held-out': the items that the networks were measured on."""
        return "held-out" if self.data.get("score") == "held-out" else "test"

    @property
    def items(self) -> int | None:
        """How many items the networks were measured on."""
        return to_count(to_dict(self.result.get("items")).get("test"))


def list_turns(stage: JsonDict) -> dict[str, list[JsonDict]]:
    """By network that learns in a stage: its losses, each with its keys."""
    turns = {}
    for name, turn in to_dict(stage.get("turns")).items():
        losses: Any = turn.get("losses") if isinstance(turn, dict) else turn
        turns[name] = [to_dict(loss) for loss in losses] if isinstance(losses, list) else []
    return turns


def describe_loss(loss: JsonDict) -> str:
    """'hinton from teacher'; the anchors of a teacher have its name."""
    teacher = loss.get("teacher")
    words = shorten(loss.get("loss", "cross-entropy"), 60)
    return f"{words} from {shorten(teacher, 60).partition('@')[0]}" if isinstance(teacher, str) else words
