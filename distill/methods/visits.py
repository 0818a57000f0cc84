"""PoolMethod: a method that learns from the networks of a pool, visit by visit."""

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from typing import Any, ClassVar, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from distill.data.augment.batch import build_augmentation
from distill.data.augment.dsa import build_dsa, is_dsa
from distill.errors import UserError
from distill.inner.losses import soft_cross_entropy
from distill.inner.memory.autocast import outer_precision
from distill.inner.problem import Problem, State, Task
from distill.inner.rules import SGD, Rule
from distill.inner.step import Step
from distill.methods.base import (
    Augment,
    Learnable,
    Method,
    Named,
    Objective,
    OuterGradient,
    Tasks,
    gradients_of,
    mean_gradient,
)
from distill.methods.pool import Family, Peers, Pool
from distill.registry import option

DC = {"": "none", "affine": "crop-scale-rotate"}  # the same changes in words of the protocol dc
TEMPERATURE = "log_temperature"  # a learned tensor beside items and labels, of methods that have one


class Visit(NamedTuple):
    """A network of the pool, real items of its own (task), and what the method made of these once (real)."""

    pool: Pool
    place: int
    age: int
    state: State
    task: Task
    augment: Augment | None
    real: Any = None

    @property
    def family(self) -> Family:
        """The kind of the network."""
        return self.pool.family(self.place)

    @property
    def problem(self) -> Problem:
        """The network and how the pool trains it."""
        return self.family.problem


@dataclass(frozen=True)
class PoolMethod(Method):
    """A method that learns from the networks of a pool, and the options that say which these are."""

    pool_size: int = option(20, "COUNT", above=0, at_most=1000)
    """How many networks the pool has."""
    max_age: int = option(50, "VISITS", above=0, at_most=10**6)
    """After how many visits a network of the pool is replaced by a new one."""
    pool_steps: int = option(5, "STEPS", above=0, at_most=10**6)
    """For how many steps a visit trains its network on the items."""
    networks: str = option("", "NETWORKS")
    """The networks of the pool in turn, joined by commas, as convnet,lenet,mlp: a set for all of them
    (default: the set's own network)."""
    pool_width: int | None = option(None, "UNITS", above=0, at_most=10**4, cost=(4000, "bytes"))
    """The width of convnets in the pool (default: 64, or that of the set's network where it is narrower)."""
    pool_augment: str = option("", "CHANGES")
    """Random changes of the items on which the pool's networks train, as in --augment; several, joined by
    commas, go round among the networks, and none is no change: affine,none."""
    families: tuple[Family, ...] = field(default=(), repr=False)
    peers: Peers = field(default=Peers(), repr=False)  # the processes of the run
    seed: int = field(default=0, repr=False)  # of the run, for random changes of the items
    updates: int = 1  # of the items in a visit

    @abstractmethod
    def visit_loss(self, visit: Visit, synthetic: Learnable, step: int) -> Float[Tensor, ""]:
        """What an outer step lowers by one network: a number with a graph to what is learned."""

    def summarise_real(self, visit: Visit) -> Any:
        """What visit_loss() needs to know of the real items: computed once in a visit, without a graph."""
        return None

    def uniform_loss(self, classes: int) -> float:
        """The loss of a network that gives every class the same logit."""
        return math.log(classes)

    @abstractmethod
    def family_of(self, problem: Problem, draw: Callable[[int], State]) -> Family:
        """The networks of a problem as a family of the pool, which says how they are trained."""

    def prepare(self, problem: Problem, draw: Callable[[int], State]) -> "PoolMethod":
        return self if self.families else replace(self, families=(self.family_of(problem, draw),))

    def pool_of(self, families: tuple[Family, ...]) -> Pool:
        """The pool of these families."""
        augments = [self.pool_augmentation(words) if words else None for words in self.augments()]
        return Pool(families, self.pool_size, self.max_age, self.pool_steps, augments, self.seed)

    def pool_augmentation(self, words: str) -> Augment:
        """How items change on which networks train, by words of --pool-augment."""
        return build_augmentation(words)

    def augments(self) -> list[str]:
        """The changes of the networks in turn, "" for none; the first are those for students."""
        return ["" if words == "none" else words for words in self.pool_augment.split(",")]

    def validation_tasks(self, count: int) -> list[tuple[Problem, State]]:
        families = [self.families[k % len(self.families)] for k in range(max(count, len(self.families)))]
        return [(family.problem, family.draw(-1 - k)) for k, family in enumerate(families)]

    def start_memory(self) -> Named:
        return self.pool_of(self.families).start()

    def objective(self, problem: Problem, tasks: Tasks, augment: Augment | None = None) -> Objective:
        families = self.families or (self.family_of(problem, lambda number: tasks(number)[0].state),)
        return PoolObjective(self, self.pool_of(families), tasks, augment)


@dataclass(frozen=True)
class SGDPoolMethod(PoolMethod):
    """A pool method whose networks train for long by SGD on shares, as students by the protocol dc do."""

    rule: ClassVar[SGD] = SGD()  # by which the pool's networks train
    anytime: ClassVar[bool] = True
    needs_shares: ClassVar[bool] = True
    choice_margin: ClassVar[float] = 0.02  # three students differ by as much
    outer_settings: ClassVar[dict[str, float]] = {"beta1": 0.9, "clip_norm": math.inf, "lr_floor": 0.1}
    inner_loss = "soft-cross-entropy"

    pool_size: int = option(5, "COUNT", above=0, at_most=1000)
    """How many networks the pool has."""
    pool_steps: int = option(10, "STEPS", above=0, at_most=10**6)
    """For how many steps a visit trains its network on the items."""
    pool_lr: float = option(0.01, "LR", above=0, at_most=1e30)
    """The learning rate of the networks of the pool."""

    def family_of(self, problem: Problem, draw: Callable[[int], State]) -> Family:
        changed = replace(problem, rule=self.rule_of(problem), inner_loss=soft_cross_entropy)
        return Family(changed, lambda number: changed.start(problem.weights(draw(number))), self.pool_lr)

    def rule_of(self, problem: Problem) -> Rule:
        """The update rule of the pool's networks, where the set's own is that of a problem."""
        return self.rule

    def pool_augmentation(self, words: str) -> Augment:
        return build_dsa(words) if is_dsa(words) else super().pool_augmentation(words)

    @property
    def student_augment(self) -> str:
        return self.augments()[0]

    def recommend(self) -> dict[str, Any]:
        """dc or dsa with the changes of the pool, or adam where neither has them."""
        augment = self.student_augment
        if augment in DC:
            return {"name": "dc", "augment": DC[augment]}
        return {"name": "dsa", "augment": augment} if is_dsa(augment) else {"name": "adam"}

    def lr_end_for(self, problem: Problem) -> float:
        return 0.1


@dataclass
class PoolObjective:
    """The objective of a method with a pool: a function of the set, the outer step and the pool's memory.

    What the method knows of the real items is kept during a visit; a run that goes on in its midst computes
    it anew, to the same bits, from the network in the memory.
    """

    method: PoolMethod
    pool: Pool
    tasks: Tasks
    augment: Augment | None = None
    number: int = -1  # of the visit
    visits: tuple[Visit, ...] = ()  # one for each network of an outer step

    def __call__(self, synthetic: Any, step: int, memory: Named | None = None) -> OuterGradient:
        memory = memory or self.pool.start()
        number = step // self.method.updates
        if number != self.number:
            self.number, self.visits = number, self.begin(number, memory)
        result = mean_gradient([self.differentiate(synthetic, visit, step) for visit in self.visits])
        if (step + 1) % self.method.updates == 0:
            memory = self.end(synthetic, memory)
        return result._replace(memory=memory)

    def begin(self, number: int, memory: Named) -> tuple[Visit, ...]:
        """The visits of this number: each network with its real items, and what is known of them."""
        tasks, visits = self.tasks(number), []
        for place, task in zip(self.places(number, len(tasks), self.method.peers.rank), tasks, strict=True):
            age, state = int(memory["ages"][place]), self.pool.state(memory, place)
            visit = Visit(self.pool, place, age, state, task, self.augment)
            with outer_precision(visit.problem, task.x):
                visits.append(visit._replace(real=self.method.summarise_real(visit)))
        return tuple(visits)

    def places(self, number: int, count: int, rank: int) -> list[int]:
        """The places of so many networks that a process visits in this turn. Raises UserError for too few."""
        size = self.method.peers.size
        if size > 1 and self.pool.size < size * count:
            raise UserError(
                f"--pool-size {self.pool.size} is fewer than the {size * count} networks that {size}"
                f" processes visit at a time: give --pool-size {size * count}, or start fewer processes"
            )
        return [self.pool.place_of((number * size + rank) * count + i) for i in range(count)]

    def differentiate(self, synthetic: Any, visit: Visit, step: int) -> OuterGradient:
        """The loss by one network, and its gradient."""
        learned = {name: t.detach().requires_grad_() for name, t in synthetic.tensors().items()}
        with torch.enable_grad():
            value = self.method.visit_loss(visit, synthetic.replace_tensors(learned), step)
            gradients = gradients_of(value, learned)
        return OuterGradient(value.detach(), gradients, self.method.uniform_loss(synthetic.labels.shape[1]))

    def end(self, synthetic: Any, memory: Named) -> Named:
        """The memory after the networks of the visit have been trained on the items, in all processes."""
        with torch.no_grad():
            steps = synthetic.step_sequence()
        if self.method.peers.size > 1:
            return self.end_together(steps, memory)
        for visit in self.visits:
            memory = self.pool.train(memory, visit.place, steps)
        return memory

    def end_together(self, steps: Sequence[Step], memory: Named) -> Named:
        """The same where each process trains the networks that it has visited, and all get their states.

        Those that will be drawn anew are not sent.
        """
        peers, pool, count = self.method.peers, self.pool, len(self.visits)
        visited = [self.places(self.number, count, owner) for owner in range(peers.size)]
        sent = [[place for place in row if not pool.is_oldest(memory, place)] for row in visited]
        mine = [pool.train_state(memory, place, steps) for place in sent[peers.rank]]
        states = peers.exchange(mine, [[pool.state(memory, place) for place in row] for row in sent])
        trained = dict(zip(chain(*sent), chain(*states), strict=True))
        for place in chain(*visited):
            memory = pool.put(memory, place, trained.get(place, pool.state(memory, place)))
        return memory
