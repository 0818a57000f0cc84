"""Protocols: the ways to train a student on a distilled set. The room's table PROTOCOLS names them."""

from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import nn

from distill.errors import UserError, unknown
from distill.inner.problem import Loss
from distill.networks.resolve import NetworkLike
from distill.randomness import stream
from distill.sets.distilled import DistilledSet
from distill.student.loop import Optimiser, list_optimisers, train_ordinary
from distill.student.training import (
    Student,
    Weights,
    assemble_problem,
    build_set_augmentation,
    default_init,
    initial_weights,
    replay,
    resolve_set_network,
)


@runtime_checkable
class TrainingProtocol(Protocol):
    """How a student is trained on a set; its settings are its fields, each with a default."""

    def train(
        self, data: DistilledSet, network: nn.Module, weights: Weights, generator: torch.Generator
    ) -> Student:
        """A student that starts from weights; network and weights are not touched. Raises UserError."""


@dataclass(frozen=True)
class SetRecipe:
    """The set's own steps, rule and learning rates; it draws nothing from the generator.

    inner_loss is needed where the set was learned with a function of the user's, which no file can hold.
    """

    inner_loss: Loss | None = None

    def train(
        self, data: DistilledSet, network: nn.Module, weights: Weights, generator: torch.Generator
    ) -> Student:
        """A student by `replay`."""
        return replay(data, assemble_problem(data, network, self.inner_loss), weights)


@dataclass(frozen=True)
class Ordinary:
    """Minibatches of the set, and an optimiser of torch.optim whose rate falls linearly to zero."""

    optimiser: Optimiser = field(default_factory=lambda: partial(torch.optim.Adam, lr=0.001))
    epochs: int = 100
    batch: int = 10

    def train(
        self, data: DistilledSet, network: nn.Module, weights: Weights, generator: torch.Generator
    ) -> Student:
        """A student by `train_ordinary`, with the augmentation that the set was learned with."""
        settings = (self.optimiser, self.epochs, self.batch, generator, build_set_augmentation(data))
        return train_ordinary(data, network, weights, *settings)


def build_protocol(optimizer: str | None, lr: float, epochs: int, batch: int) -> TrainingProtocol:
    """Ordinary for the name of an optimiser, SetRecipe for None. Raises UserError."""
    if optimizer is None:
        return SetRecipe()
    optimisers = list_optimisers()
    if optimizer not in optimisers:
        raise UserError("--optimizer: " + unknown("optimiser in torch.optim", optimizer, optimisers))
    return Ordinary(partial(optimisers[optimizer], lr=lr), epochs, batch)


class Start(NamedTuple):
    """A network and the initial weights of its students."""

    name: str
    network: nn.Module
    init: str
    weights: list[Weights]


def build_start(data: DistilledSet, name: NetworkLike, init: str | None, count: int) -> Start:
    """What students start from: by default the set's own network as it was learned. Raises UserError.

    name: of a network, or a module or a factory.
    """
    network = resolve_set_network(data, name)
    init = init or ("random" if isinstance(name, str) else default_init(data, network))
    word = data.network["name"] if name is None else name if isinstance(name, str) else type(network).__name__
    return Start(word, network, init, initial_weights(data, network, init, count))


def train_students(protocol: TrainingProtocol, data: DistilledSet, start: Start) -> list[Student]:
    """One student per initialisation."""
    return [
        protocol.train(data, start.network, weights, stream("ordinary", k))
        for k, weights in enumerate(start.weights)
    ]
