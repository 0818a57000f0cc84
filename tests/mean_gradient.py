"""Run by torchrun in test_processes: outer steps of every method, averaged over processes."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import torch

from distill.inner.problem import Task
from distill.methods.base import Objective
from distill.methods.decoupled.recovery import SRe2L
from distill.methods.trajectories.experts import Trajectory, train_expert
from distill.methods.trajectories.matching import MTT
from distill.networks.initial import draw_weights
from distill.outer.processes import average_processes, broadcast, exchange_states, process_group, rank
from distill.outer.tasks import task_numbers
from distill.randomness import stream
from distill.runs.build import build_objective
from tests.device_cases import WORDS, make_case
from tests.methods.test_methods import make_small_case
from tests.methods.test_recovery import make_teacher

POOL = {"pool_size": 3, "max_age": 2, "pool_steps": 1}
UPDATES = {"frepo": {"updates": 2}, "dc": {"updates": 2}}
ALL = [*WORDS, "sre2l"]
STATES = (  # of each process: of other kinds and sizes, as where a pool has several families
    [(torch.arange(6.0).reshape(2, 3), torch.tensor(7)), (torch.ones(2, dtype=torch.bfloat16),)],
    [(torch.linspace(0, 1, 3, dtype=torch.float64),)],
)


def list_steps(word: str, path: str, networks: int) -> Iterator[Any]:
    """What the first outer steps of a method answer, where the set stays and the pool's networks train."""
    objective, synthetic, memory = build_case(word, path, networks)
    for step in range(4):
        result = objective(synthetic, step, *([memory] if memory else []))
        memory = result.memory
        uniform_loss = torch.tensor(result.uniform_loss)
        yield {"loss": result.loss, "uniform_loss": uniform_loss, **result.gradients, **memory}


def build_case(word: str, path: str, networks: int) -> tuple[Objective, Any, Any]:
    """The objective of a method by so many networks per step, its set, and its memory at the start."""
    if word == "sre2l":
        problem, synthetic, task = make_small_case()
        method = SRe2L(network=make_teacher((1, 2, 3), 3))
        objective = method.objective(problem, lambda step: number_tasks(task, step, networks))
        return average_processes(objective), synthetic, {}
    options = {} if word in ("unroll", "mtt") else POOL | UPDATES.get(word, {})
    values = {"network": "mlp", "depth": None, "networks_per_step": networks, "method_options": options}
    plan, synthetic, splits = make_case(word, path, "cpu", **values)
    if isinstance(plan.method, MTT):  # a run's experts are those of its first process
        state = plan.problem.start(draw_weights(plan.problem.network, stream("expert")))
        weights = train_expert(plan.problem, state, splits.train, plan.method.training, stream("expert"))
        plan = replace(plan, method=replace(plan.method, trajectories=(Trajectory(weights, "00"),)))
    return build_objective(plan, splits.train), synthetic, plan.method.start_memory()


def number_tasks(task: Task, step: int, networks: int) -> list[Task]:
    """The task, each time with the generator of its number."""
    return [task._replace(generator=stream("task", i)) for i in task_numbers(step, networks)]


if __name__ == "__main__":
    torch.set_num_threads(1)
    with process_group("cpu"):
        steps = {word: list(list_steps(word, sys.argv[1], 1)) for word in ALL}
        shared = broadcast(10.0 + rank())
        exchanged = exchange_states(STATES[rank()], STATES)
        of_first = exchange_states(STATES[0] if rank() == 0 else [], (STATES[0], []))
    facts = {"steps": steps, "shared": shared, "exchanged": exchanged, "of_first": of_first}
    torch.save(facts, f"{sys.argv[2]}/{rank()}.pt")
