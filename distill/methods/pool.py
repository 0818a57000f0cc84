"""A pool of networks of different ages, which a method keeps from one outer step to the next.

Notation: a visit takes one network of the pool, with real items of its own. The networks are visited in turn;
each has an age, the visits since it was drawn, and is drawn anew at the greatest age. What the pool is
between two visits are tensors by name (the memory), so that a checkpoint can hold it: the ages, the number of
networks drawn so far, and the state of the network in place k as "k.0", "k.1", …
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn

from distill.inner.problem import Problem, State
from distill.inner.rules import SGD, Adam, Rule
from distill.inner.step import Step
from distill.methods.base import Augment, Named
from distill.randomness import stream

NORMS = (nn.GroupNorm, nn.InstanceNorm2d, nn.LayerNorm, nn.modules.batchnorm._BatchNorm)
MOMENTUM_LR, ADAM_LR = 0.002, 0.001  # of networks with and without normalisation layers


@dataclass(frozen=True)
class Family:
    """Networks of one kind: how they are drawn, and how the pool trains them.

    draw(number) is the initial state of a new network, of the same number the same one.
    """

    problem: Problem
    draw: Callable[[int], State] = field(repr=False)
    lr: float = MOMENTUM_LR


def keep(mine: Sequence[State], likes: Sequence[Sequence[State]]) -> list[list[State]]:
    """The states as they are: a run of one process has no others."""
    return [list(mine)]


class Peers(NamedTuple):
    """The processes that keep one pool together: each visits networks of its own, and shares their states.

    exchange(mine, likes) is the states of each, in all of them; likes are states of the same shapes.
    """

    rank: int = 0
    size: int = 1
    exchange: Callable[[Sequence[State], Sequence[Sequence[State]]], list[list[State]]] = keep


def pool_rule(network: nn.Module) -> tuple[Rule, float]:
    """How the pool trains a network: momentum where it has normalisation layers, else Adam; and the rate.

    Momentum diverges without normalisation.
    """
    return (SGD(0.9), MOMENTUM_LR) if has_norm(network) else (Adam(), ADAM_LR)


def has_norm(network: nn.Module) -> bool:
    """Whether a network has normalisation layers."""
    return any(isinstance(module, NORMS) for module in network.modules())


@dataclass(frozen=True)
class Pool:
    """So many networks of these families in turn, the places 0, 1, … of the memory."""

    families: Sequence[Family]
    size: int
    max_age: int
    steps: int  # of training in each visit
    augments: Sequence[Augment | None] = (None,)  # change the items on which the networks train, in turn
    seed: int = 0  # of these changes

    def start(self) -> Named:
        """Networks that were never trained; their ages are spread, so that few are drawn at one time."""
        ages = torch.arange(self.size) * self.max_age // self.size
        memory = {"ages": ages, "drawn": torch.tensor(self.size)}
        for place in range(self.size):
            memory |= self.name_tensors(place, self.family(place).draw(place))
        return memory

    def family(self, place: int) -> Family:
        """The family of the network in a place."""
        return self.families[place % len(self.families)]

    def place_of(self, visit: int) -> int:
        """The place of the network that a visit takes: all in turn."""
        return visit % self.size

    def change(self, place: int, x: Tensor, generator: torch.Generator) -> Tensor:
        """The items of a step as the network in a place trains on them: neighbours of one family differ."""
        augment = self.augments[place // len(self.families) % len(self.augments)]
        return x if augment is None else augment(x, generator)

    def state(self, memory: Named, place: int) -> State:
        """The state of the network in a place."""
        count = sum(1 for name in memory if name.startswith(f"{place}."))
        return tuple(memory[f"{place}.{i}"] for i in range(count))

    def name_tensors(self, place: int, state: State) -> Named:
        """The tensors of a state as the memory names them."""
        return {f"{place}.{i}": tensor for i, tensor in enumerate(state)}

    def train(self, memory: Named, place: int, steps: Sequence[Step]) -> Named:
        """The memory after a visit: the network in a place trained on the steps in turn, or drawn anew."""
        return self.put(memory, place, self.train_state(memory, place, steps))

    def train_state(self, memory: Named, place: int, steps: Sequence[Step]) -> State:
        """The state of the network in a place after a visit; one that will be drawn anew stays as it is."""
        if self.is_oldest(memory, place):
            return self.state(memory, place)
        return self.advance(memory, place, int(memory["ages"][place]), steps)

    def is_oldest(self, memory: Named, place: int) -> bool:
        """Whether the network in a place will be drawn anew after its next visit."""
        return int(memory["ages"][place]) + 1 >= self.max_age

    def put(self, memory: Named, place: int, state: State) -> Named:
        """The memory with the state of a network after a visit in its place, or a new one.

        It is drawn anew at the greatest age, and where its weights are no finite numbers.
        """
        drawn, ages = memory["drawn"], memory["ages"].clone()
        ages[place] += 1
        if int(ages[place]) >= self.max_age or not is_finite(state):
            ages[place], state, drawn = 0, self.family(place).draw(int(drawn)), drawn + 1
        return {**memory, "ages": ages, "drawn": drawn, **self.name_tensors(place, state)}

    @torch.no_grad()
    def advance(self, memory: Named, place: int, age: int, steps: Sequence[Step]) -> State:
        """The state of the network in a place after the steps of one visit."""
        family, state = self.family(place), self.state(memory, place)
        seeds = (self.seed,) if self.seed else ()  # none for 0, so that runs of earlier versions go on
        generator = stream("changes", place, age, int(memory["drawn"]), *seeds)
        for i in range(self.steps):
            step = steps[(age * self.steps + i) % len(steps)]
            x = self.change(place, step.x, generator)
            lr = torch.tensor(family.lr, dtype=step.y.dtype, device=step.y.device)
            state = family.problem.advance(state, step._replace(x=x, lr=lr))
        return state


def is_finite(state: Sequence[Tensor]) -> bool:
    """Whether every number of a state is finite."""
    return bool(torch.stack([t.double().sum() for t in state]).isfinite().all())
