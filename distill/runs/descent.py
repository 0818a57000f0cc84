"""The outer loop of a run, and the choice of what is exported by held-out real items."""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch

from distill.data.dataset import Dataset
from distill.errors import RunError
from distill.methods.base import Named
from distill.outer import processes
from distill.outer.loop import OuterState, descend, initial_state
from distill.outer.synthetic import Synthetic
from distill.runs.build import Plan, build_objective, build_set
from distill.runs.measure import Splits
from distill.student.evaluation import accuracy
from distill.student.training import replay

GIVE_UP = 20  # rollbacks, each of which has halved the outer rate
Record = dict[str, Any]


@dataclass(frozen=True)
class Candidate:
    """Learned tensors with their score on held-out real items."""

    score: float
    step: int
    tensors: Named
    highest: float = -1.0  # score of all candidates before it and its own, once it is chosen


@dataclass(frozen=True)
class Snapshot:
    """A run between two outer steps: what a checkpoint holds."""

    state: OuterState
    best: Candidate
    seconds: float


@dataclass(frozen=True)
class Schedule:
    """When an outer loop ends, and when it scores candidates on the way."""

    steps: int
    validate_every: int
    seconds: float | None = None


def start_snapshot(plan: Plan, synthetic: Synthetic, seconds: float = 0.0) -> Snapshot:
    """A run before its first outer step, after so many seconds."""
    state = initial_state(synthetic, plan.outer, plan.method.start_memory())
    return Snapshot(state, Candidate(-1.0, 0, synthetic.tensors()), seconds)


def run_outer_loop(
    plan: Plan, synthetic: Synthetic, splits: Splits, snapshot: Snapshot, schedule: Schedule
) -> Iterator[tuple[Snapshot, Record]]:
    """Outer steps from a snapshot to the end of the schedule, with a record each. Raises RunError."""
    start = time.perf_counter() - snapshot.seconds

    @lru_cache(maxsize=1)  # the first process's clock is asked once in a step
    def share(step: int) -> float:
        if not schedule.seconds:
            return step / schedule.steps
        timed = (time.perf_counter() - start) / schedule.seconds
        return processes.broadcast(max(timed, step / schedule.steps))

    score = candidate_scorer(plan, synthetic, splits.held_out)
    states = descend(synthetic, build_objective(plan, splits.train), plan.outer, snapshot.state, share)
    if share(snapshot.state.step) >= 1:
        return
    if plan.method.anytime and snapshot.best.score < 0:
        snapshot = replace(snapshot, best=choose(score(snapshot.state.tensors, 0), snapshot.best, 0.0))
    for state in states:
        record: Record = {"step": state.step, "loss": state.loss if math.isfinite(state.loss) else None}
        if state.rollbacks >= GIVE_UP:
            raise RunError(f"the outer loop diverged {GIVE_UP} times: lower --lr or --outer-lr")
        best, over = snapshot.best, share(state.step) >= 1
        if over or state.step % schedule.validate_every == 0:
            tensors = [state.average] if plan.method.anytime else [state.tensors, state.average]
            latest = best_of(*[score(candidate, state.step) for candidate in tensors])
            best = choose(latest, best, plan.method.choice_margin)
            record |= {"validation": latest.score, "skipped": state.skipped, "rollbacks": state.rollbacks}
        snapshot = Snapshot(state, best, time.perf_counter() - start)
        yield snapshot, record | {"seconds": round(snapshot.seconds, 3)}
        if over:
            return


def best_of(*candidates: Candidate) -> Candidate:
    """The candidate with the highest score; of equal ones the first."""
    return max(candidates, key=lambda candidate: candidate.score)


def choose(latest: Candidate, best: Candidate, margin: float) -> Candidate:
    """The latest candidate, unless its score is below the highest so far by more than the margin."""
    highest = max(latest.score, best.highest)
    return replace(latest if latest.score >= highest - margin else best, highest=highest)


def candidate_scorer(
    plan: Plan, synthetic: Synthetic, held_out: Dataset
) -> Callable[[Named, int], Candidate]:
    """score(tensors, step): the mean accuracy on held-out real items of the students that they train.

    Where steps are quick, on 1,000 items and by networks of the method: choosing would take longer than
    learning (ten images of MNIST: 39 s for 400 steps of 18 s).
    """
    validators = [(plan.problem, weights) for weights in plan.initial.validation]
    if plan.method.anytime:
        held_out = held_out.select(torch.arange(min(1000, len(held_out)), device=held_out.labels.device))
    tasks = plan.method.validation_tasks(len(validators)) if plan.method.anytime else []
    if tasks and not plan.initial.training:
        same = len({id(problem) for problem, _ in tasks}) == 1  # one family is trained as the students are
        validators = [
            (replace(p, rule=plan.problem.rule) if same else p, p.weights(state)) for p, state in tasks
        ]

    def score(tensors: Named, step: int) -> Candidate:
        data = build_set(plan, plan.learned(synthetic, tensors, step))
        students = [replay(data, problem, weights) for problem, weights in validators]
        return Candidate(sum(accuracy(s, held_out) for s in students) / len(students), step, tensors)

    return score
