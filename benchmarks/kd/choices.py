"""The settings that are chosen on held-out items, and whether the recipes hold what was chosen."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from benchmarks import machine
from benchmarks.kd.protocol import ProtocolError
from distill.kd.recipe.parts import LossPart, Recipe

LAMBDAS = (0.5, 0.9)  # the teacher's share
TAUS = (1.0, 2.0, 4.0, 8.0)


@dataclass(frozen=True)
class Choice:
    """A grid over the keys of one loss of a learner; what is chosen for the first learner holds for all."""

    recipe: str
    learners: tuple[str, ...]
    loss: str
    values: Mapping[str, tuple[float, ...]]

    def grid(self) -> list[dict[str, float]]:
        """All combinations of the values."""
        return [dict(zip(self.values, point, strict=True)) for point in product(*self.values.values())]


def choose_kd(recipe: str, *learners: str) -> Choice:
    """The grid of plain distillation: the temperature and the teacher's share."""
    return Choice(recipe, learners, "hinton", {"tau": TAUS, "weight": LAMBDAS})


CHOICES = [
    choose_kd("kd", "kd"),
]


def apply_settings(parts: list[LossPart], loss: str, settings: Mapping[str, float]) -> list[LossPart]:
    """A learner's losses with new settings of one of them; labels keep the rest of a shared weight."""
    shares = [part for part in parts if part.loss in ("cross-entropy", loss)]
    weights = [part.weight for part in shares if isinstance(part.weight, float)]
    shared = len(weights) == 2 and abs(sum(weights) - 1) < 1e-9
    rest = {"weight": round(1 - settings["weight"], 6)} if shared and "weight" in settings else {}
    return [
        replace(part, **settings) if part.loss == loss else
        replace(part, **rest) if part.loss == "cross-entropy" else part
        for part in parts
    ]  # fmt: skip


def list_parts(recipe: Recipe, learner: str, loss: str) -> Iterator[LossPart]:
    """All summands of a learner with this loss."""
    for stage in recipe.stages:
        if learner in stage.turns:
            yield from (part for part in stage.turns[learner].losses if part.loss == loss)


def load_record() -> dict[str, Any]:
    """What was chosen so far, from benchmarks/results/kd-choices.json, by recipe and first learner."""
    path = machine.RESULTS / "kd-choices.json"
    record: dict[str, Any] = json.loads(path.read_text("utf-8"))["choices"] if path.exists() else {}
    return record


def check_choices(name: str, recipe: Recipe, record: Mapping[str, Any]) -> None:
    """Raise ProtocolError where a recipe has a setting to choose that was not chosen, or holds another."""
    for choice in (c for c in CHOICES if c.recipe == name):
        row = record.get(f"{name}/{choice.learners[0]}")
        if row is None:
            raise ProtocolError(f"{name}: choose its settings first: python -m benchmarks.kd --choose {name}")
        for learner in choice.learners:
            for part in list_parts(recipe, learner, choice.loss):
                for key, value in row["chosen"].items():
                    if getattr(part, key) != value:
                        raise ProtocolError(
                            f"{name}: {key} of {learner} is {getattr(part, key):g}, and {value:g} was chosen"
                        )
