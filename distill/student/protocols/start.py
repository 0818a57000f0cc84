"""Students by a protocol: one, or one per initialisation."""

import sys
from typing import NamedTuple

from torch import nn

from distill.errors import UserError, python_names
from distill.inner.problem import Loss
from distill.networks.resolve import NetworkLike, plain_torch
from distill.randomness import stream
from distill.sets.distilled import DistilledSet
from distill.sets.plain_types import check_seed
from distill.student.protocols.base import PlannedProtocol, TrainingProtocol
from distill.student.protocols.choose import choose_protocol
from distill.student.protocols.recipe import SetRecipe
from distill.student.training import (
    Student,
    Weights,
    assemble_problem,
    default_init,
    initial_weights,
    resolve_set_network,
)


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
    """One student per initialisation; where a loss gets other targets than the labels, a line on stderr."""
    if isinstance(protocol, PlannedProtocol) and (remark := protocol.plan(data).targets.remark):
        print(remark, file=sys.stderr)
    return [
        protocol.train(data, start.network, weights, stream("ordinary", k))
        for k, weights in enumerate(start.weights)
    ]


@python_names()
@plain_torch()
def train(
    data: DistilledSet,
    network: NetworkLike = None,
    init: str | None = None,
    seed: int = 0,
    inner_loss: Loss | None = None,
    protocol: TrainingProtocol | str | None = None,
) -> Student:
    """One student: of the set's network or another, from the set's fixed weights or fresh ones.

    network is a module, a name, or a factory: a class or function that returns a new module. It is not
    touched. It trains in its own mode, with dropout unless network.eval() was called, and without its frozen
    parameters. init is "fixed" or "random"; by default as the set was learned, random for a network that its
    fixed weights do not fit. seed numbers the random ones. protocol is how it is trained: a word of
    PROTOCOLS, as "dc", "recommended" for what the set recommends, or an object; by default the set's own
    recipe. Raises UserError.
    """
    if not isinstance(data, DistilledSet):
        raise UserError(f"data is a {type(data).__name__}: give a DistilledSet, as DistilledSet.load(path)")
    chosen, seed = choose_protocol(protocol, data, inner_loss), check_seed(seed)
    module = resolve_set_network(data, network)
    if isinstance(chosen, SetRecipe):
        assemble_problem(data, module, inner_loss)  # a loss or rule that no one knows is refused first
    init = init or default_init(data, None if network is None else module)
    weights = initial_weights(data, module, init, 1, first=seed)[-1]
    return chosen.train(data, module, weights, stream("ordinary", seed))
