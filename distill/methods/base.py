"""Method: the contract of every method's file, and what methods share.

Notation: an outer step has tasks, each with a network's initial state and a batch of real items. A method
answers with the outer loss and its gradient for each learned tensor, both as means over the tasks.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from distill.data.augment.batch import build_augmentation
from distill.inner.problem import Problem, State, Task
from distill.registry import check_options, python_name

Named = dict[str, Tensor]
Augment = Callable[[Tensor, torch.Generator], Tensor]
Tasks = Callable[[int], Sequence[Task]]  # the tasks of an outer step


@runtime_checkable
class Learnable(Protocol):
    """What a method asks of the synthetic set: distill.outer.synthetic.Synthetic has it."""

    @property
    def items(self) -> Float[Tensor, "n *item"]:
        """The synthetic items."""

    @property
    def labels(self) -> Float[Tensor, "n classes"]:
        """The raw labels."""

    def tensors(self) -> Named:
        """The learned tensors by name."""

    @property
    def label_rows(self) -> int:
        """How many labels are learned: item i has that of row i modulo so many."""

    def replace_tensors(self, tensors: Named) -> Any:
        """The same set with other learned tensors."""

    def with_items(self, items: Float[Tensor, "n *item"]) -> Any:
        """The same set with these items for networks; what is learned stays."""

    def targets(self) -> Float[Tensor, "n classes"]:
        """The labels as the inner loss uses them."""

    def steps(self, count: int | None = None) -> list[Any]:
        """The inner steps in order, all or `count` of them, differentiable in all learned tensors."""

    def step_sequence(self) -> Sequence[Any]:
        """The same steps, each made when it is asked for."""


class OuterGradient(NamedTuple):
    """The outer loss, its gradient for each learned tensor, and the outer loss of equal logits.

    uniform_loss is the loss of a network that gives every class the same logit: the outer loop compares with
    it to notice that networks have stopped to learn. memory is what the method keeps from step to step.
    """

    loss: Tensor
    gradients: Named
    uniform_loss: float = math.inf
    memory: Named = {}  # noqa: RUF012


Objective = Callable[..., OuterGradient]  # of a Learnable, an outer step, and the memory of methods with one


class Method(ABC):
    """What an outer step lowers. A leaf is a frozen dataclass; its option() fields are its settings."""

    unrolls: ClassVar[bool] = False  # differentiates through inner steps by an engine
    learns_rates: ClassVar[bool] = False  # its loss depends on the learning rates of the set
    needs_every_class: ClassVar[bool] = False  # compares class by class: n is at least the number of classes
    matches_classes: ClassVar[bool] = False  # takes as many real items of each class, and changes them itself
    learns_labels: ClassVar[bool] = True  # its loss depends on the labels of the items
    regresses: ClassVar[bool] = False  # the learned labels are those of a regression: signed, of mean zero
    needs_shares: ClassVar[bool] = False  # trains for long by cross-entropy: labels must not be signed
    choice_margin: ClassVar[float] = 0.0  # the later of two states is exported if it scores so little less
    anytime: ClassVar[bool] = False  # quick steps: the start is a candidate too, and choosing must be quick
    outer_settings: ClassVar[Mapping[str, float]] = {}  # of the outer optimiser, in the place of its defaults
    outer_lrs: ClassVar[Mapping[str, float]] = {}  # of the tensors of learned_tensors()
    inner_loss: str | None = (
        None  # a word of INNER_LOSSES; None: that of the set it starts from, or the usual
    )
    relative_clip: float | None = None  # outer gradients are clipped to this multiple of their norms' mean
    start_scale: float | None = None  # of labels that a squared error is learned with, at the start

    def __post_init__(self) -> None:
        check_options(self, python_name)

    def check_steps(self, steps: int) -> None:  # noqa: B027 (most methods take any number)
        """Raise UserError where the method cannot learn a recipe of so many inner steps."""

    @property
    def restarts(self) -> tuple[int, ...]:
        """The outer steps from which on the inner training is another one: the outer rule begins anew."""
        return ()

    def merged_steps(self, step: int) -> int:
        """How many steps of the recipe are taken as one in an outer step of this number."""
        return 1

    def prepare(self, problem: Problem, draw: Callable[[int], State]) -> "Method":
        """The method for this problem, whose initial states are draw(0), draw(1), …"""
        return self

    def validation_tasks(self, count: int) -> list[tuple[Problem, State]]:
        """So many networks for choosing what is exported; where there are none, those of the run do."""
        return []

    def start_memory(self) -> Named:
        """What the method keeps from step to step, before the first one: tensors of constant shapes."""
        return {}

    def learned_tensors(self) -> Named:
        """What is learned beside items, labels and rates, before the first step."""
        return {}

    def item_augmentation(self, words: str) -> Augment:
        """How items change in an outer step, by the words of --augment."""
        return build_augmentation(words)

    @property
    def student_augment(self) -> str:
        """Changes of the items with which students train, where they are not those of the run."""
        return ""

    def recommend(self) -> dict[str, Any] | None:
        """The protocol, by name and settings, that the file recommends for any network."""
        return None

    def label_scale_for(self, problem: Problem) -> float:
        """How many times the learned labels those are on which students train."""
        return 1.0

    def lr_end_for(self, problem: Problem) -> float:
        """The last learning rate of a student's training, as a share of the first."""
        return 1.0

    @abstractmethod
    def objective(self, problem: Problem, tasks: Tasks, augment: Augment | None = None) -> Objective:
        """The function of (synthetic set, outer step) that the outer loop lowers.

        augment(x, generator) changes the synthetic items, differentiably.
        """


def gradients_of(value: Tensor, learned: Named) -> Named:
    """d value / d each learned tensor; zeros where nothing flows."""
    grads = torch.autograd.grad(value, list(learned.values()), allow_unused=True, materialize_grads=True)
    return {name: grad.detach() for name, grad in zip(learned, grads, strict=True)}


def mean_gradient(results: Sequence[OuterGradient]) -> OuterGradient:
    """The mean of losses, gradients and uniform losses."""
    gradients = {
        name: torch.stack([r.gradients[name] for r in results]).mean(dim=0) for name in results[0].gradients
    }
    uniform_loss = sum(r.uniform_loss for r in results) / len(results)
    return OuterGradient(torch.stack([r.loss for r in results]).mean(), gradients, uniform_loss)


def item_classes(synthetic: Learnable) -> Int[Tensor, " n"]:
    """The class that each synthetic item was started as: the classes go round the labels that are learned."""
    n, classes = synthetic.labels.shape
    return torch.arange(n, device=synthetic.labels.device) % synthetic.label_rows % classes
