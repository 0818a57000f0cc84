"""The tasks of an outer step: initial states and batches of real items, drawn by the seed and a number."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from distill.data.dataset import Dataset
from distill.data.pictures.stored import StoredItems
from distill.inner.problem import Problem, State, Task
from distill.methods.base import Augment, Tasks
from distill.networks.initial import draw_weights
from distill.outer.prefetch import Prefetch
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


class RealBatch(NamedTuple):
    """Real items x (batch, *item) and labels y (batch,), and the generator that drew them and draws on."""

    x: Tensor
    y: Tensor
    generator: torch.Generator


@dataclass(frozen=True)
class TaskDrawer:
    """draw(i): an initial state and a batch of real items, changed by augment, and the generator of both."""

    states: StateDrawer
    data: Dataset
    draw_batch: DrawBatch
    augment: Augment

    def __call__(self, i: int) -> Task:
        return self.complete(i, self.read(i))

    def read(self, i: int) -> RealBatch:
        """The real items of a task: a function of its number alone, which a thread may call early."""
        generator = stream("task", self.states.seed, i)
        indices, items = self.draw_batch(generator), self.data.items
        indices = indices if isinstance(items, StoredItems) else indices.to(items.device)
        return RealBatch(*self.data.batch(indices), generator)

    def complete(self, i: int, batch: RealBatch) -> Task:
        """The task with these real items."""
        x, y, generator = batch
        x = self.augment(self.data.drop_words(x, generator), generator)
        return Task(self.states.draw(i, generator), x, y, generator)

    def draw_steps(self, networks: int) -> Tasks:
        """tasks(step): one for each network; items on disk are read while the step before is computed."""

        def read(step: int) -> list[RealBatch]:
            return [self.read(i) for i in task_numbers(step, networks)]

        batches = Prefetch(read) if isinstance(self.data.items, StoredItems) else read
        return lambda step: list(map(self.complete, task_numbers(step, networks), batches(step)))


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
