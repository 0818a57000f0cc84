"""RecipeRun: the stages of a recipe one after the other; between two batches it can be saved and go on."""

import time
from collections.abc import Generator, Iterator, Mapping
from typing import Any, NamedTuple

from distill.kd.measure import prepare_student
from distill.kd.networks import Networks, build_networks
from distill.kd.recipe.aggregations import check_aggregations
from distill.kd.recipe.checks import check_recipe
from distill.kd.recipe.files import check_recipe_types, parse_value, to_plain
from distill.kd.recipe.parts import Recipe, RecipeError, StagePart
from distill.kd.sources import Sources, choose_items, count_items
from distill.kd.stages import Stage, StageRecord, run_stage
from distill.kd.state.networks import load_networks, save_networks
from distill.kd.state.stage import FAULTS, StageState, StateError, copy_plain, describe_fault
from distill.kd.techniques.route import Leg, count_epochs, next_leg
from distill.kd.training.trial import try_recipe
from distill.randomness import TorchStream, stream
from distill.student.evaluation import accuracy

Record = dict[str, Any]  # of the log: what a network did in an epoch


class Progress(NamedTuple):
    """Where a run is: the stage from 1, of how many, and the share of it that is done.

    records: what the log gets, where an epoch has ended.
    """

    stage: int
    stages: int
    share: float
    losses: tuple[float, ...]
    records: tuple[Record, ...] = ()


class RecipeRun:
    """An iterator over the batches of a recipe, with `networks` as they are after each.

    A stage is split into legs, where it follows a route. Raises UserError for what cannot be run.
    """

    def __init__(self, recipe: Recipe, sources: Sources, device: str = "cpu") -> None:
        self.recipe = check_recipe_types(recipe)
        if not isinstance(sources, Sources):
            raise RecipeError(f"sources is a {type(sources).__name__}: give what load_sources() returns")
        self.sources = sources
        self.networks = build_networks(self.recipe, sources.train, device)
        check_recipe(self.recipe, self.networks)
        check_aggregations(self.recipe, self.networks, sources.train)
        try_recipe(self.recipe, self.networks, sources)
        self.stage, self.leg, self.records = 0, 0, 0
        self.legs: list[Leg] = []  # of the stage, those that have begun
        self.state = StageState()
        self.layers = TorchStream(stream("teach", "layers", self.recipe.seed), device)

    def __iter__(self) -> Iterator[Progress]:
        """Progress after each batch that is left."""
        while self.stage < len(self.recipe.stages):
            part = self.recipe.stages[self.stage]
            while (leg := self.find_leg(part)) is not None:
                yield from self.run_leg(part, leg)
                self.leg, self.state = self.leg + 1, self.state.after(part.restart)
            self.stage, self.leg, self.legs, self.state = self.stage + 1, 0, [], StageState()

    def finish(self) -> Networks:
        """The networks after all stages. Raises UserError."""
        for _ in self:
            pass
        return self.networks

    def find_leg(self, part: StagePart) -> Leg | None:
        """The leg of a stage that goes on, or the next one, or None after the last."""
        if self.leg == len(self.legs):
            leg = next_leg(part, self.legs, self.networks, self.sources.train)
            self.legs += [] if leg is None else [leg]
        return self.legs[self.leg] if self.leg < len(self.legs) else None

    def run_leg(self, part: StagePart, leg: Leg) -> Iterator[Progress]:
        """Train by one leg of a stage."""
        where, seed, sources = f"stages.{self.stage}", self.recipe.seed, self.sources
        items, classes = choose_items(leg.part, sources, seed), len(sources.train.classes)
        state, target = self.state, sources.target
        stage = Stage(leg.part, where, self.networks, items, classes, seed, target, state, self.leg)
        steps, before = run_stage(stage), sum(done.epochs for done in self.legs[: self.leg])
        first, each = before + leg.epochs - leg.until, -(-count_items(leg.part, sources) // leg.part.batch)
        while state.step < leg.until * each and (record := self.advance(steps)) is not None:
            share = (first + state.step / each) / self.count_epochs(part)
            records = self.end_epoch(leg.part, first + record.epoch) if record.epoch else ()
            yield Progress(self.stage + 1, len(self.recipe.stages), share, record.losses, records)
        steps.close()

    def advance(self, steps: Generator[StageRecord, None, None]) -> StageRecord | None:
        """The record of the next batch, in which layers draw from the run's own stream; None at the end."""
        start = time.perf_counter()
        with self.layers.use():
            record = next(steps, None)
        self.state.seconds += time.perf_counter() - start
        return record

    def end_epoch(self, leg: StagePart, epoch: int) -> tuple[Record, ...]:
        """The records of the learners, and of a search, at an epoch's end; their meters begin anew."""
        seconds, self.state.seconds = round(self.state.seconds, 3), 0.0
        records = []
        for name, meter in self.state.meters.items():
            means = meter.means()
            names = leg.turns[name].losses if means["losses"] else []  # a search has a loss of its own
            for loss, part in zip(means["losses"], names, strict=True):
                loss |= {"loss": part.loss} | ({"teacher": part.teacher} if part.teacher else {})
            place = {"stage": self.stage, "network": name, "epoch": epoch}
            records.append({**place, **means, "seconds": seconds, **self.validate(name)})
            meter.reset()
        self.records += len(records)
        return tuple(records)

    def validate(self, name: str) -> Record:
        """A network's accuracy on the held-out training items, where the recipe holds some out."""
        if self.sources.validation is None or name not in self.networks:
            return {}
        student = prepare_student(self.networks[name], self.sources.train)
        return {"validation": accuracy(student, self.sources.validation)}

    def count_batches(self) -> list[int]:
        """How many batches each stage has."""
        counts = [count_items(part, self.sources) for part in self.recipe.stages]
        return [
            self.count_epochs(part) * -(-count // part.batch)
            for part, count in zip(self.recipe.stages, counts, strict=True)
        ]

    def count_epochs(self, part: StagePart) -> int:
        """How many epochs a stage has, with those of the copies along its route."""
        kept = [stage.keep for stage in self.recipe.stages if part.route in stage.turns]
        return count_epochs(part, max(kept, default=0))

    def state_dict(self) -> dict[str, Any]:
        """Plain values from which a run of the same recipe and data goes on to the same bits."""
        return {
            "place": {"stage": self.stage, "leg": self.leg, "records": self.records},
            "legs": [[to_plain(leg.part), leg.until, leg.epochs] for leg in self.legs],
            "networks": save_networks(self.networks),
            "state": self.state.state_dict(),
            "layers": copy_plain(self.layers.state_dict()),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from what state_dict() returned. Raises StateError for what is another run's."""
        try:
            self.load_parts(state)
        except FAULTS as error:
            raise StateError(describe_fault(error)) from None

    def load_parts(self, state: Mapping[str, Any]) -> None:
        """load_state_dict() without its sentence."""
        place = state["place"]
        self.stage, self.leg, self.records = place["stage"], place["leg"], place["records"]
        where = f"stages.{self.stage}"
        self.legs = [Leg(parse_value(StagePart, part, where), *counts) for part, *counts in state["legs"]]
        load_networks(self.networks, state["networks"])
        has_begun = bool(state["state"]["parts"])
        self.state = StageState(state["state"] if has_begun else None)
        self.layers.load_state_dict(state["layers"])
