"""The pool of networks that a method learns from: words of the settings as families."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from distill.data.dataset import Dataset
from distill.errors import UserError
from distill.inner.memory.blocks import checkpoint_blocks
from distill.inner.problem import Problem, State
from distill.methods.base import Method
from distill.methods.matching.classes import MatchingMethod
from distill.methods.pool import Family
from distill.methods.regression import RegressionPoolMethod
from distill.methods.visits import PoolMethod
from distill.networks import IMAGES, NETWORKS
from distill.networks.build import build_network, check_no_buffers, default_arguments
from distill.networks.initial import draw_weights
from distill.outer import processes
from distill.randomness import stream
from distill.registry import find
from distill.runs.decoupled.teacher import fill_teacher
from distill.runs.settings import Settings

CONVNET_WIDTH = 64  # of the pool; a width of 128 takes four times as long, and students of 128 gain nothing


def fill_networks(settings: Settings, problem: Problem, method: Method, data: Dataset) -> Method:
    """The method with the networks that its options name: those of a pool, or a teacher. Raises UserError."""
    is_resumed = settings.run.resume is not None
    return fill_teacher(fill_pool(settings, problem, method, data), data, settings.run.device, is_resumed)


def fill_pool(settings: Settings, problem: Problem, method: Method, data: Dataset) -> Method:
    """The method with the families of networks that its options name, and flips where images are augmented.

    Another method, and one that has its families, stays as it is. Without options the pool holds the
    set's own network; of a convnet that starts at random a narrow one. Raises UserError for a word that
    is no network of such items, or one with batch norm.
    """
    if not isinstance(method, PoolMethod):
        return method
    method = replace(method, seed=settings.run.seed)
    if method.families:
        return method
    if isinstance(method, RegressionPoolMethod):
        method = replace(method, flips="flip" in settings.outer.augment.split("-"))
    elif isinstance(method, MatchingMethod):
        method = replace(method, pool_augment=method.pool_augment or settings.outer.augment)
    elif settings.outer.augment:
        raise UserError(
            "--augment has no effect on the items of this method's pool: give --pool-augment instead"
        )
    if method.pool_augment and len(data.shape) != 3:
        raise UserError("--pool-augment is for images, and these items are none: leave it out")
    own = settings.network.network
    if settings.network.init == "fixed" or settings.network.weights is not None:
        if method.networks or method.pool_width:
            name = "--networks" if method.networks else "--pool-width"
            raise UserError(f"{name} is for new random networks: leave it out, or use --init random alone")
        return method
    words = [word.strip() for word in method.networks.split(",")] if method.networks else [own]
    if settings.run.resume is None:
        check_places(method, words)
    if not method.networks and not is_convnet(own):
        return method
    families = (build_family(settings, problem, method, data, word) for word in words)
    return replace(method, families=tuple(families))


def check_places(method: PoolMethod, words: Sequence[str | None]) -> None:
    """Raise UserError where a network, a change of images or a width would have no place in the pool."""
    changes = len(method.augments())
    least = len(words) * (changes - 1) + 1 if changes > 1 else len(words)
    if method.pool_size < least:
        what = "networks and changes of images" if changes > 1 else "networks"
        raise UserError(
            f"--pool-size {method.pool_size} leaves some of the {what} without a place: give"
            f" --pool-size {len(words) * changes}, or fewer of them"
        )
    if method.pool_width and not any(map(is_convnet, words)):
        raise UserError("--pool-width is the width of convnets, and this pool has none: leave it out")


def connect_pool(method: Method) -> Method:
    """The method, whose pool is that of all processes of the run."""
    return replace(method, peers=processes.peers()) if isinstance(method, PoolMethod) else method


def is_convnet(word: str | None) -> bool:
    """Whether a word names a convnet of this project."""
    return word is not None and word.startswith("convnet")


def build_family(
    settings: Settings, problem: Problem, method: PoolMethod, data: Dataset, word: str
) -> Family:
    """The family of networks of a word. Raises UserError."""
    find(IMAGES if len(data.shape) == 3 else NETWORKS, "network in --networks", word)
    arguments = family_arguments(settings, method, word, data.shape)
    network = build_network(word, data.shape, len(data.classes), **arguments).to(settings.run.device)
    check_no_buffers(word, network)
    network = checkpoint_blocks(network) if settings.inner.checkpoint_blocks else network
    of_family = replace(problem, network=network)

    def draw(i: int) -> State:
        generator = stream("pool", settings.run.seed, word, i)
        weights = draw_weights(network, generator, settings.network.weight_init)
        return of_family.start({name: w.to(settings.run.device) for name, w in weights.items()})

    return method.family_of(of_family, draw)


def family_arguments(
    settings: Settings, method: PoolMethod, word: str, shape: Sequence[int]
) -> dict[str, Any]:
    """The arguments of a network in the pool: for the set's word its own; convnets are narrow."""
    own = settings.network
    is_own = word == own.network
    arguments = {"depth": own.depth, "width": own.width} if is_own else default_arguments(word, shape)
    if is_convnet(word):
        arguments["width"] = method.pool_width or min(CONVNET_WIDTH, own.width or CONVNET_WIDTH)
    return {name: value for name, value in arguments.items() if value is not None}
