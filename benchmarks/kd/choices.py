"""The settings that are chosen on held-out items, and whether the recipes hold what was chosen."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

from benchmarks import machine
from benchmarks.kd.protocol import ProtocolError, check_grid
from benchmarks.kd.rows import ROWS
from distill.kd.recipe.parts import LossPart, OptimizerPart, Recipe, TurnPart

Settings = dict[str, Any]
TAUS = (1.0, 2.0, 4.0, 8.0)
HIGH_TAUS = (*TAUS, 16.0, 32.0)  # where the best of TAUS is the last one
SHARES = (0.25, 0.5, 0.75, 0.9, 1.0)  # of the teacher, λ; with 1 the student is told no label


@dataclass(frozen=True)
class Choice:
    """A grid over the keys of some losses of a learner, and the network whose score decides.

    What is chosen holds for all learners: the first is scored, unless `scored` names another.
    """

    recipe: str
    learners: tuple[str, ...]
    values: Mapping[str, tuple[float, ...]]
    losses: tuple[str, ...] = ("hinton",)
    scored: str | None = None

    @property
    def network(self) -> str:
        """The network whose held-out score decides."""
        return self.scored or self.learners[0]

    @property
    def key(self) -> str:
        """Its name in the record."""
        return f"{self.recipe}/{self.learners[0]}/{self.losses[0]}"

    def grid(self) -> list[Settings]:
        """All combinations of the values."""
        return [dict(zip(self.values, point, strict=True)) for point in product(*self.values.values())]


def choose_kd(
    recipe: str, *learners: str, taus: tuple[float, ...] = TAUS, shares: tuple[float, ...] = SHARES
) -> Choice:
    """The grid of plain distillation: the temperature, and the teacher's share λ beside the labels."""
    return Choice(recipe, learners, {"tau": taus, "weight": shares})


# of a loss on the teacher's layers at each place; training with 100 diverges
LAYER_WEIGHTS = (0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
OPTIMIZER = ("optimizer",)  # in the place of losses: the keys are arguments of the learners' optimisers
WIDTHS = ("wide", "deep1", "deep3", "deep4", "cone2", "cone3")
WITH_KD = ("mixup", "smoothing", "augment", "prune", "int8", "separable", "wide", "bagging")
WEIGHTED = {"tau": (1.0, 2.0, 4.0, 8.0, 16.0), "weight": (1.0, 2.25, 5.0)}
TAKD = ("kd64", "kd4", "kd8", "kd16", "kd32", "ta8", "ta16", "ta32", "chain2", "chain3")
TAKD_DEPTH = ("kd10", "kd4", "kd6", "kd8", "ta4", "ta6", "ta8", "chain2", "chain3")
TAKD_RESNET = ("kd26", "kd14", "kd20", "ta14", "ta20", "chain2")
CHOICES = [
    choose_kd("kd", "kd", taus=HIGH_TAUS),
    choose_kd("kd", "kd-privileged"),
    choose_kd("takd", *TAKD, taus=HIGH_TAUS),
    choose_kd("takd-depth", *TAKD_DEPTH, taus=HIGH_TAUS),
    choose_kd("takd-resnet", *TAKD_RESNET),
    Choice("fitnets", ("kd", "plain"), {"lr": (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1)}, OPTIMIZER),
    Choice("fitnets", ("student",), {"lr": (0.003, 0.01, 0.03, 0.1)}, OPTIMIZER),
    Choice("fitnets", ("student",), {"weight": (0.1, 1.0, 10.0)}, ("hint",)),
    Choice("fitnets", ("student-adam",), {"weight": (1.0, 10.0, 100.0)}, ("hint",)),
    Choice("fitnets", ("kd", "student", "kd-adam", "student-adam"), {"tau": (1.0, 2.0, 4.0, 8.0)}),
    Choice("wsl", ("kd", "filtered"), WEIGHTED, ("hinton", "hinton-filtered")),
    Choice("wsl", ("student",), WEIGHTED, ("weighted",)),
    choose_kd("subclass", "kd"),
    choose_kd("subclass", "own", "information", "none"),
    Choice("subclass", ("teacher-own",), {"weight": (0.01, 0.1, 1.0, 10.0)}, ("negative-sampling",), "own"),
    Choice(
        "subclass",
        ("teacher-information",),
        {"weight": (0.1, 1.0, 10.0)},
        ("mutual-information",),
        "information",
    ),
    choose_kd("rco", "kd", "restarts", "student", "greedy", "continued"),
    choose_kd("prokt", "kd", "rco"),
    Choice("prokt", ("partner",), {"weight": (0.1, 0.3, 0.5, 0.7)}, scored="student"),
    Choice("prokt", ("student",), {"tau": (1.0, 2.0, 4.0)}),
    choose_kd("prokt-text", "kd", "rco"),
    Choice("prokt-text", ("partner",), {"weight": (0.1, 0.3, 0.5, 0.7)}, scored="student"),
    Choice("prokt-text", ("student",), {"tau": (1.0, 2.0, 4.0)}),
    choose_kd("features", "kd", shares=(0.5, 0.9)),
    Choice("features", ("attention",), {"weight": (0.1, 1.0, 10.0, 100.0, 1000.0)}, ("attention",)),
    Choice("features", ("relation",), {"weight": (0.1, 1.0, 25.0)}, ("rkd-distance",)),
    Choice("features", ("relation",), {"weight": (0.2, 2.0, 50.0)}, ("rkd-angle",)),
    *(
        Choice("dfa", (name,), {"weight": LAYER_WEIGHTS}, (loss,))
        for name, loss in (
            ("student", "aggregate"),
            ("mean", "aggregate"),
            ("random", "aggregate"),
            ("last", "hint"),
            ("attention", "attention"),
        )
    ),
    Choice("attention", ("student",), {"weight": (0.3, 1.0, 3.0)}, ("attention",)),
    Choice("attention", ("plain", "student"), {"lr": (0.03, 0.1, 0.3)}, OPTIMIZER),
    choose_kd("orthogonality", "kd", *(f"{name}-kd" for name in WITH_KD), taus=HIGH_TAUS),
    choose_kd("orthogonality-qat", "kd", "int8-kd", "qat-kd", taus=HIGH_TAUS),
    choose_kd("orthogonality-width", "kd", *(f"{name}-kd" for name in WIDTHS), taus=HIGH_TAUS),
    choose_kd("subclass-table", "kd", "own", "information", "none"),
    Choice("subclass-table", ("teacher-own",), {"weight": (0.01, 0.1, 1.0)}, ("negative-sampling",), "own"),
    Choice(
        "subclass-table",
        ("teacher-information",),
        {"weight": (0.1, 1.0, 10.0)},
        ("mutual-information",),
        "information",
    ),
]


def apply_settings(parts: list[LossPart], choice: Choice, settings: Settings) -> list[LossPart]:
    """A learner's losses with new settings; where the labels' weight is the rest to 1, it stays so."""
    weights = [part.weight for part in parts if isinstance(part.weight, float)]
    chosen = any(part.loss in choice.losses for part in parts)
    shared = chosen and len(weights) == len(parts) == 2 and abs(sum(weights) - 1) < 1e-9
    rest = {"weight": round(1 - settings["weight"], 6)} if shared and "weight" in settings else {}
    return [
        replace(part, **settings) if part.loss in choice.losses else
        replace(part, **rest) if part.loss == "cross-entropy" else part
        for part in parts
    ]  # fmt: skip


def apply_record(recipe: Recipe, name: str, record: Mapping[str, Any]) -> Recipe:
    """A recipe with the settings that were chosen for it so far."""
    for choice in (c for c in CHOICES if c.recipe == name and c.key in record):
        chosen = record[choice.key]["chosen"]
        stages = [
            replace(stage, turns={
                learner: change_turn(turn, choice, chosen)
                if learner in choice.learners else turn
                for learner, turn in stage.turns.items()
            })
            for stage in recipe.stages
        ]  # fmt: skip
        recipe = replace(recipe, stages=stages)
    return recipe


def change_turn(turn: TurnPart, choice: Choice, settings: Settings) -> TurnPart:
    """A learner's turn with new settings of its losses or its optimiser."""
    if choice.losses != OPTIMIZER:
        return replace(turn, losses=apply_settings(turn.losses, choice, settings))
    optimizer = turn.optimizer or OptimizerPart()
    return replace(turn, optimizer=replace(optimizer, arguments={**optimizer.arguments, **settings}))


def list_values(recipe: Recipe, learner: str, choice: Choice, key: str) -> Iterator[Any]:
    """The values of a key wherever a choice sets it."""
    for turn in (stage.turns[learner] for stage in recipe.stages if learner in stage.turns):
        if choice.losses == OPTIMIZER:
            yield turn.optimizer.arguments.get(key) if turn.optimizer else None
        else:
            yield from (getattr(part, key) for part in turn.losses if part.loss in choice.losses)


def load_record() -> dict[str, Any]:
    """What was chosen so far, from benchmarks/results/kd-choices.json, by the key of the choice."""
    path = machine.RESULTS / "kd-choices.json"
    record: dict[str, Any] = json.loads(path.read_text("utf-8"))["choices"] if path.exists() else {}
    return record


def check_students(name: str, record: Mapping[str, Any]) -> None:
    """Raise ProtocolError where the student of a row is not the one that was chosen among some."""
    for row in (row for row in ROWS if row.recipe == name and row.among):
        if row.key not in record:
            raise ProtocolError(f"{name}: choose its students first: python -m benchmarks.kd --choose {name}")
        best = record[row.key]["chosen"]["network"]
        if best != row.student:
            raise ProtocolError(
                f'{name}: the student of "{row.name}" is {row.student}, and {best} was chosen'
            )


def check_choices(name: str, recipe: Recipe, record: Mapping[str, Any]) -> None:
    """Raise ProtocolError where a recipe has a setting to choose that was not chosen, or holds another.

    A recipe without a grid has to be one of protocol.PUBLISHED.
    """
    check_grid(name, {choice.recipe for choice in CHOICES})
    for choice in (c for c in CHOICES if c.recipe == name):
        if choice.key not in record:
            raise ProtocolError(f"{name}: choose its settings first: python -m benchmarks.kd --choose {name}")
        if [
            {key: point[key] for key in choice.values} for point in record[choice.key]["grid"]
        ] != choice.grid():
            raise ProtocolError(
                f"{name}: the grid of {choice.key} is not the one that was scored: python -m benchmarks.kd"
                f" --choose {name}"
            )
        for learner, (key, value) in product(choice.learners, record[choice.key]["chosen"].items()):
            if others := [v for v in list_values(recipe, learner, choice, key) if v != value]:
                raise ProtocolError(
                    f"{name}: {key} of {learner} is {format_value(others[0])}, and {value:g} was chosen"
                )


def format_value(value: Any) -> str:
    """A setting of a recipe in words."""
    return f"{value:g}" if isinstance(value, float | int) else str(value)
