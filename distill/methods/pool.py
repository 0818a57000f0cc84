"""A pool of networks of different ages, which a method keeps from one outer step to the next.

Notation: a visit takes one network of the pool, with real items of its own. The networks are visited in turn;
each has an age, the visits since it was drawn, and is drawn anew at the greatest age. What the pool is
between two visits are tensors by name (the memory), so that a checkpoint can hold it: the ages, the number of
networks drawn so far, and the state of the network in place k as "k.0", "k.1", …
"""

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from distill.data.augment import build_augmentation
from distill.inner.losses import squared_error
from distill.inner.problem import Problem, State
from distill.inner.rules import SGD, Adam, Rule
from distill.inner.step import Step
from distill.methods.base import Augment, Learnable, Method, Named
from distill.networks.images import ConvNet
from distill.randomness import stream
from distill.registry import option

NORMS = (nn.GroupNorm, nn.InstanceNorm2d, nn.LayerNorm, nn.modules.batchnorm._BatchNorm)
MOMENTUM_LR, ADAM_LR = 0.002, 0.001  # of networks with and without normalisation layers
TEMPERATURE = "log_temperature"  # a learned tensor beside items and labels, of methods that have one


@dataclass(frozen=True)
class Family:
    """Networks of one kind: how they are drawn, and how the pool trains them.

    draw(number) is the initial state of a new network, of the same number the same one.
    """

    problem: Problem
    draw: Callable[[int], State] = field(repr=False)
    lr: float = MOMENTUM_LR


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
        """The memory after a visit: the network in a place trained on a set's steps in turn, or drawn anew.

        It is drawn anew at the greatest age, and where its weights are no finite numbers.
        """
        family, state, age = self.family(place), self.state(memory, place), int(memory["ages"][place])
        generator = stream("changes", place, age, int(memory["drawn"]))
        with torch.no_grad():
            for i in range(self.steps):
                step = steps[(age * self.steps + i) % len(steps)]
                x = self.change(place, step.x, generator)
                lr = torch.tensor(family.lr, dtype=step.y.dtype, device=step.y.device)
                state = family.problem.advance(state, step._replace(x=x, lr=lr))
        ages, drawn = memory["ages"].clone(), memory["drawn"]
        ages[place] += 1
        if ages[place] >= self.max_age or not is_finite(state):
            ages[place], state, drawn = 0, family.draw(int(drawn)), drawn + 1
        return {**memory, "ages": ages, "drawn": drawn, **self.name_tensors(place, state)}


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

    @abstractmethod
    def family_of(self, problem: Problem, draw: Callable[[int], State]) -> Family:
        """The networks of a problem as a family of the pool, which says how they are trained."""

    def prepare(self, problem: Problem, draw: Callable[[int], State]) -> "PoolMethod":
        return self if self.families else replace(self, families=(self.family_of(problem, draw),))

    def pool_of(self, families: tuple[Family, ...]) -> Pool:
        """The pool of these families."""
        augments = [build_augmentation(words) if words else None for words in self.augments()]
        return Pool(families, self.pool_size, self.max_age, self.pool_steps, augments)

    def augments(self) -> list[str]:
        """The changes of the networks in turn, "" for none; the first are those for students."""
        return ["" if words == "none" else words for words in self.pool_augment.split(",")]

    def validation_tasks(self, count: int) -> list[tuple[Problem, State]]:
        families = [self.families[k % len(self.families)] for k in range(max(count, len(self.families)))]
        return [(family.problem, family.draw(-1 - k)) for k, family in enumerate(families)]

    def start_memory(self) -> Named:
        return self.pool_of(self.families).start()


@dataclass(frozen=True)
class RegressionPoolMethod(PoolMethod):
    """A pool method that learns the labels of a regression; its networks train by squared error to them."""

    regresses: ClassVar[bool] = True
    anytime: ClassVar[bool] = True
    choice_margin: ClassVar[float] = (
        0.03  # three students differ by as much; a lucky state had 88 % by dc for 92
    )
    outer_settings: ClassVar[dict[str, float]] = {"beta1": 0.9, "clip_norm": math.inf, "lr_floor": 0.1}
    outer_lrs: ClassVar[dict[str, float]] = {TEMPERATURE: 0.03}
    inner_loss = "squared-error"

    temperature: float = option(math.e**2, "FLOAT", above=0)
    """τ at the start: the factor of the regression's answers before the softmax; it is learned."""
    label_scale: float | None = option(None, "FACTOR", above=0)
    """How many times the regression's labels those are on which networks train (default: 10;
    without a norm 4, but for convnets): a new network's last layer answers as loudly as the labels are, and
    the regression ignores it."""
    lr_end: float | None = option(None, "SHARE", above=0, at_most=1)
    """The last rate of a student's steps as a share of --lr; between them half a cosine (default: 0.1, and
    0.01 with Adam)."""
    pool_augment: str = option("", "CHANGES")
    """Random changes of the items on which the pool's networks train, as in --augment; the regression sees
    them unchanged. They help networks that never saw the set (LeNet 88 % for 84 %) and cost its own one."""
    flips: bool = False  # the regression knows each item's mirror image too

    def family_of(self, problem: Problem, draw: Callable[[int], State]) -> Family:
        """The networks of a problem as a family of the pool."""
        rule, lr = pool_rule(problem.network)
        changed = replace(problem, rule=rule, inner_loss=squared_error)
        return Family(changed, lambda number: changed.start(problem.weights(draw(number))), lr)

    def recommend(self) -> dict[str, Any]:
        words = self.augments()[0]
        return {"name": "adam", **({"steps": 400, "augment": words} if words else {})}

    def learned_tensors(self) -> Named:
        return {TEMPERATURE: torch.tensor(math.log(self.temperature))}

    def label_scale_for(self, problem: Problem) -> float:
        usual = 10.0 if has_norm(problem.network) or isinstance(problem.network, ConvNet) else 4.0
        return self.label_scale or usual

    def lr_end_for(self, problem: Problem) -> float:
        return self.lr_end or (0.01 if isinstance(problem.rule, Adam) else 0.1)

    def regressed(self, synthetic: Learnable) -> tuple[Tensor, Float[Tensor, "n classes"]]:
        """The items and labels of the regression: with `flips` each item's mirror image has its label."""
        items, labels = synthetic.items, synthetic.labels
        return (
            (torch.cat([items, items.flip(3)]), torch.cat([labels, labels]))
            if self.flips
            else (items, labels)
        )

    def factor(self, synthetic: Learnable) -> float | Tensor:
        """τ: the factor of the regression's answers before the softmax."""
        log_temperature = synthetic.tensors().get(TEMPERATURE)
        return self.temperature if log_temperature is None else log_temperature.exp()


def is_finite(state: Sequence[Tensor]) -> bool:
    """Whether every number of a state is finite."""
    return bool(torch.stack([t.double().sum() for t in state]).isfinite().all())
