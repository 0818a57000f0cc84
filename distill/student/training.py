"""Students: a network with its weights, trained by a set's own recipe."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from distill.data.augment import Augment, build_augmentation
from distill.errors import SetError, UserError, unknown
from distill.inner import INNER_LOSSES
from distill.inner.problem import Loss, Problem
from distill.inner.rules import build_rule
from distill.networks import NETWORKS, WEIGHT_INITS
from distill.networks.build import build_network
from distill.networks.functional import extract_features
from distill.networks.initial import draw_weights
from distill.randomness import stream
from distill.registry import load
from distill.sets.distilled import DistilledSet

Weights = dict[str, Tensor]


@runtime_checkable
class Data(Protocol):
    """What is trained on: a DistilledSet or a real Dataset."""

    def __len__(self) -> int: ...

    def batch(self, indices: Any) -> tuple[Tensor, Tensor]:
        """x (b, *item) and y: (b,) class numbers, or (b, classes) soft labels."""


@dataclass(frozen=True)
class Student:
    """The trained weights of one network."""

    network: nn.Module
    weights: Mapping[str, Tensor]

    def logits(self, x: Float[Tensor, "batch *item"]) -> Float[Tensor, "batch classes"]:
        """The network's answer to x, without a graph."""
        with torch.no_grad():
            return functional_call(self.network, dict(self.weights), (x,))

    def features(self, x: Float[Tensor, "batch *item"]) -> Float[Tensor, "batch width"]:
        """What the network's last linear layer is given for x, without a graph."""
        with torch.no_grad():
            return extract_features(self.network, self.weights, x)


def problem_of(
    data: DistilledSet, network: nn.Module | None = None, inner_loss: Loss | None = None
) -> Problem:
    """The set's recipe as a Problem, for its own network or another. Raises SetError.

    inner_loss is needed where the set was learned with a loss of one's own, which no file can hold.
    """
    network = network or network_of(data)
    loss, rule = data.inner["loss"], data.inner["rule"]
    if inner_loss is None and loss not in INNER_LOSSES:
        raise SetError(
            unknown("inner loss", loss, INNER_LOSSES) + "; pass your own as `inner_loss` in Python"
        )
    try:
        return Problem(network, build_rule(data.inner), inner_loss or load(INNER_LOSSES[loss]))
    except KeyError:
        raise SetError(unknown("inner rule", rule, ("sgd", "adam"))) from None


def network_of(data: DistilledSet, name: str | None = None) -> nn.Module:
    """The set's own network, or the one of another name for the same items and classes."""
    own = data.network["name"]
    word, arguments = (own, data.network.get("arguments", {})) if name in (None, own) else (name, {})
    if word not in NETWORKS:
        raise UserError(unknown("network", word, NETWORKS) + "; pass your own module as `network` in Python")
    shape, classes = data.items.shape[1:], data.labels.shape[1]
    return build_network(word, tuple(shape), classes, **arguments).to(data.items.device)


def starts(data: DistilledSet, network: nn.Module, init: str, seeds: int) -> list[Weights]:
    """Initial weights: the set's fixed ones, or `seeds` held-out random ones (never seen in training).

    Raises SetError where a random-initialisation set has no fixed weights, or they do not fit.
    """
    if init == "random":
        scheme = data.network.get("scheme", "xavier")
        if scheme not in WEIGHT_INITS:
            raise SetError(unknown("initialisation scheme", scheme, WEIGHT_INITS))
        return [on(data, draw_weights(network, stream("held-out", s), scheme)) for s in range(seeds)]
    if data.init_state is None:
        raise SetError(
            "the set was learned for random initialisations and carries no weights: use --init random"
        )
    if not fits(network, states(data)):
        raise SetError("the set's fixed weights do not fit this network: use --init random")
    return states(data)


def states(data: DistilledSet) -> list[Weights]:
    """The fixed initialisations that the set carries."""
    return data.init_state if isinstance(data.init_state, list) else [data.init_state or {}]


def fits(network: nn.Module, weights: list[Weights]) -> bool:
    """Whether all of them are weights of this network."""
    shapes = {name: p.shape for name, p in network.named_parameters()}
    return all({name: w.shape for name, w in state.items()} == shapes for state in weights)


def on(data: DistilledSet, weights: Weights) -> Weights:
    return {name: w.to(data.items.device) for name, w in weights.items()}


def replay(data: DistilledSet, problem: Problem, weights: Weights) -> Student:
    """A student trained by the set's own steps from weights.

    Rates per parameter tensor are averaged over the tensors for a network that has others.
    """
    state, augment, generator = problem.start(weights), augment_of(data), stream("replay")
    with torch.no_grad():
        for step in data.steps():
            step = step._replace(x=augment(step.x, generator))
            if step.lr.ndim and len(step.lr) != len(problem.names):
                step = step._replace(lr=step.lr.mean())
            state = problem.advance(state, step)
    return Student(problem.network, problem.weights(state))


def augment_of(data: DistilledSet) -> Augment:
    """The augmentation that the set was learned with. Raises SetError."""
    try:
        return build_augmentation(data.inner.get("augment", ""))
    except UserError as error:
        raise SetError(f"the set was learned with another version: {error}") from None


def train(
    data: DistilledSet,
    network: nn.Module | None = None,
    init: str | None = None,
    seed: int = 0,
    inner_loss: Loss | None = None,
) -> Student:
    """One student by the set's own recipe: its network or another, its fixed weights or fresh ones.

    init is "fixed" or "random"; by default as the set was learned, random for a network that its fixed
    weights do not fit.
    """
    problem = problem_of(data, network, inner_loss)
    own = network is None or fits(network, states(data))
    init = init or (data.network.get("init", "random") if own else "random")
    return replay(data, problem, starts(data, problem.network, init, seed + 1)[-1])
