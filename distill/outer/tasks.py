"""The tasks of an outer step: initial states and batches of real items, drawn by the seed and a number."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from distill.data.dataset import Dataset
from distill.inner.problem import Problem, State, Task
from distill.methods.base import Augment
from distill.networks.initial import draw_weights
from distill.outer.processes import rank, world_size
from distill.randomness import stream

Weights = dict[str, Tensor]
DrawBatch = Callable[[torch.Generator], Int[Tensor, " batch"]]


@dataclass(frozen=True)
class StateDrawer:
    """draw(i): an initial state; of known weights those in turn, else new ones of a scheme."""

    problem: Problem
    weights: Sequence[Weights]
    weight_init: str
    seed: int
    device: str

    def __call__(self, i: int) -> State:
        """The state of a number, the same in all processes."""
        return self.draw(i, stream("pool", self.seed, i))

    def draw(self, i: int, generator: torch.Generator) -> State:
        """The state of a number, its weights drawn by a generator where they are not known."""
        if self.weights:
            return self.problem.start(self.weights[i % len(self.weights)])
        drawn = draw_weights(self.problem.network, generator, self.weight_init)
        return self.problem.start({name: w.to(self.device) for name, w in drawn.items()})


@dataclass(frozen=True)
class TaskDrawer:
    """draw(i): an initial state and a batch of real items, changed by augment, and the generator of both."""

    states: StateDrawer
    data: Dataset
    draw_batch: DrawBatch
    augment: Augment

    def __call__(self, i: int) -> Task:
        generator = stream("task", self.states.seed, i)
        x, y = self.data.batch(self.draw_batch(generator).to(self.data.items.device))
        x = self.augment(self.data.drop_words(x, generator), generator)
        return Task(self.states.draw(i, generator), x, y, generator)


def draw_of_all(data: Dataset, batch: int) -> DrawBatch:
    """draw(generator): `batch` items, each as likely as the others."""
    return lambda generator: torch.randint(len(data), (batch,), generator=generator)


def draw_by_class(data: Dataset, batch: int, most: int | None = None) -> DrawBatch:
    """draw(generator): about `batch` items, as many of each class that there is, one at least.

    most: of so many classes, drawn anew each time; None is all. The index of the classes is built once.
    """
    counts = data.labels.cpu().bincount().tolist()
    rows = [r for r in data.labels.cpu().argsort(stable=True).split(counts) if len(r)]

    def draw(generator: torch.Generator) -> Int[Tensor, " batch"]:
        chosen = rows
        if most is not None and most < len(rows):
            chosen = [rows[i] for i in torch.randperm(len(rows), generator=generator)[:most].tolist()]
        each = max(1, batch // len(chosen))
        return torch.cat([r[torch.randint(len(r), (each,), generator=generator)] for r in chosen])

    return draw


def task_numbers(step: int, networks: int) -> range:
    """The numbers of this process's tasks in an outer step, which no other process or step has."""
    first = (step * world_size() + rank()) * networks
    return range(first, first + networks)
