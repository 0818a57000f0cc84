"""Ordinary training: on each batch, the learner of each turn takes an optimiser step on its loss.

Knowledge distillation is a list of turns: a student that learns from a frozen teacher is one turn, mutual
learning is two.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from distill.data.augment.each import Augment
from distill.errors import NetworkError, UserError, quote
from distill.inner.dry_run import check_network, first_line
from distill.inner.losses import cross_entropy_with_any_labels
from distill.networks.resolve import NetworkLike, plain_torch, resolve_network
from distill.randomness import seed_torch, stream
from distill.registry import EPOCHS, ITEMS
from distill.sets.plain_types import check_count
from distill.sets.real_data import read_data
from distill.student.training import Data, Student, Weights

# LBFGS calls the loss again, SparseAdam takes sparse gradients and Muon matrices alone.
SPECIAL_OPTIMISERS = ("Optimizer", "LBFGS", "SparseAdam", "Muon")
Optimiser = Callable[[Iterable[Tensor]], torch.optim.Optimizer]


TRIAL_ITEMS = 16  # of the data, on which a network is tried before it is trained


class Batch(NamedTuple):
    """Items x (b, *item) with labels y (b,) or (b, classes), and where in the training they come."""

    x: Tensor
    y: Tensor
    indices: Tensor  # which items of the set they are
    progress: float  # the share of the training that is done, from 0
    epoch: float = 0.0  # the share of its epochs that are done
    plain: Tensor | None = None  # x before augmentation
    target: Tensor | None = None  # unlabelled items of another domain


Loss = Callable[[Batch], Tensor]


@runtime_checkable
class Scheduler(Protocol):
    """What changes the rates of an optimiser after each batch, as those of torch.optim.lr_scheduler."""

    def step(self) -> None: ...

    def state_dict(self) -> dict[str, Any]: ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> None: ...


@dataclass(frozen=True)
class Turn:
    """One step of one optimiser on a loss whose graph holds no other learner, then one of its scheduler."""

    optimiser: torch.optim.Optimizer
    loss: Loss
    name: str = "the network"
    scheduler: Scheduler | None = None  # default: the rate falls linearly to zero
    connectors: tuple[nn.Module, ...] = ()  # what learns beside the network


class Record(NamedTuple):
    """The step, from 1, the loss of each turn before it, and the rate of the optimiser's first group."""

    step: int
    losses: tuple[float, ...]
    rates: tuple[float, ...]


def run_turns(turns: Sequence[Turn], batches: Iterable[Batch], total: int, done: int = 0) -> Iterator[Record]:
    """Train, with one record per batch; rates without a scheduler fall linearly to zero over `total` batches.

    done: how many batches of a training that goes on came before. Raises UserError where a loss is not
    finite.
    """
    schedulers = [turn.scheduler or fall_linearly(turn.optimiser, total) for turn in turns]
    for step, batch in enumerate(batches, done + 1):
        losses, rates = list[float](), list[float]()
        for turn, scheduler in zip(turns, schedulers, strict=True):
            turn.optimiser.zero_grad()
            loss = turn.loss(batch)
            if not torch.isfinite(loss):
                raise UserError(f"the loss of {turn.name} became {loss:g} at step {step}: lower its lr")
            loss.backward()
            rates.append(float(turn.optimiser.param_groups[0]["lr"]))
            turn.optimiser.step()
            scheduler.step()
            losses.append(float(loss.detach()))
        yield Record(step, tuple(losses), tuple(rates))


def fall_linearly(optimiser: torch.optim.Optimizer, total: int) -> torch.optim.lr_scheduler.LRScheduler:
    """Rates that fall in a straight line to zero over `total` steps."""
    return torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 - step / total)


def list_optimisers() -> dict[str, Callable[..., torch.optim.Optimizer]]:
    """The optimisers of torch.optim by name, without those that need more than gradients of any shape."""
    classes = {k: v for k, v in vars(torch.optim).items() if isinstance(v, type)}
    return {name: optimiser for name, optimiser in classes.items() if name not in SPECIAL_OPTIMISERS}


def count_batches(data: Data, size: int, epochs: int) -> int:
    """How many batches of `size` items so many epochs have."""
    return epochs * -(-len(data) // size)


def draw_batches(
    data: Data, size: int, epochs: int, generator: torch.Generator, augment: Augment | None = None
) -> "Batches":
    """Minibatches, drawn anew each epoch; augment(x, generator) changes each."""
    return Batches(data, size, epochs, generator, augment)


class Batches:
    """An iterator over minibatches, whose place can be saved as the state of an optimiser can.

    Whoever draws more from the generator for a batch has done so before the place is saved.
    """

    def __init__(
        self, data: Data, size: int, epochs: int, generator: torch.Generator, augment: Augment | None
    ) -> None:
        self.data, self.size, self.epochs, self.generator, self.augment = (
            data,
            size,
            epochs,
            generator,
            augment,
        )
        self.step, self.order = 0, torch.arange(0)

    def __iter__(self) -> "Batches":
        return self

    def __next__(self) -> Batch:
        each, total = (count_batches(self.data, self.size, epochs) for epochs in (1, self.epochs))
        if self.step >= total:
            raise StopIteration
        epoch, k = divmod(self.step, each)
        if k == 0:
            self.order = torch.randperm(len(self.data), generator=self.generator)
        indices = self.order[k * self.size : (k + 1) * self.size]
        plain, y = self.data.batch(indices)
        x = self.augment(plain, self.generator) if self.augment else plain
        batch = Batch(x, y, indices, self.step / total, epoch / self.epochs, plain=plain)
        self.step += 1
        return batch

    def state_dict(self) -> dict[str, Any]:
        """What load_state_dict() needs to go on."""
        return {"step": self.step, "order": self.order, "generator": self.generator.get_state()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what state_dict() returned. Raises ValueError for the place in other data."""
        if len(state["order"]) not in (0, len(self.data)):
            raise ValueError(f"an order of {len(state['order'])} items for {len(self.data)}")
        self.step, self.order = state["step"], state["order"]
        self.generator.set_state(state["generator"])


@plain_torch()
def train_ordinary(
    data: Any,
    network: NetworkLike,
    weights: Weights | None,
    optimiser: Optimiser,
    epochs: int,
    batch: int,
    generator: torch.Generator,
    augment: Augment | None = None,
) -> Student:
    """A student trained with minibatches and any torch.optim optimiser, its rate falling to zero.

    data is a set, or real data in any form that `distill.distill` takes. Class numbers take the
    cross-entropy, soft labels the soft one. augment(x, generator) changes each batch. It starts from weights,
    or from the network's own for None. The network and the weights that are passed are not touched. Raises
    UserError.
    """
    epochs, batch = check_count("epochs", epochs, EPOCHS), check_count("batch", batch, ITEMS)
    data = read_data(data)
    student = build_student(data, network, weights)
    turn = Turn(
        build_optimiser(optimiser, student.train()),
        lambda b: cross_entropy_with_any_labels(student(b.x), b.y),
    )
    batches = draw_batches(data, batch, epochs, generator, augment)
    try:
        with seed_torch(stream("ordinary", "layers")):
            for _ in run_turns([turn], batches, count_batches(data, batch, epochs)):
                pass
    except UserError:
        raise
    except Exception as error:  # whatever layers of a user raise
        raise NetworkError(
            f"the network cannot be trained in batches of {batch} ({first_line(error)})"
        ) from error
    student.zero_grad()
    return student.eval()


def build_optimiser(optimiser: Any, student: Student) -> torch.optim.Optimizer:
    """The optimiser of a student's parameters. Raises UserError for what builds none."""
    try:
        built = optimiser(student.parameters())
    except (TypeError, ValueError) as error:
        built = error
    if not isinstance(built, torch.optim.Optimizer):
        reason = f" ({first_line(built)})" if isinstance(built, Exception) else ""
        raise UserError(
            f"optimiser is {quote(optimiser)}{reason}: give a class or function that builds an optimiser of"
            " parameters, as functools.partial(torch.optim.Adam, lr=0.01)"
        )
    return built


def build_student(data: Data, network: NetworkLike, weights: Weights | None) -> Student:
    """A student before its training on data, in the precision of the items. Raises UserError."""
    x, y = data.batch(slice(0, TRIAL_ITEMS))
    classes = y.shape[1] if y.ndim > 1 else len(getattr(data, "classes", ())) or None
    if not isinstance(network, nn.Module):
        network = resolve_network(network, x.shape[1:], classes or int(y.max()) + 1)
    student = Student(network, weights).to(x.device, x.dtype)
    check_network(student.network.train(), x, classes)
    return student
