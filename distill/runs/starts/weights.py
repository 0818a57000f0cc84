"""Initial weights of a run by what they are for: training, choosing, and the file."""

from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from distill.errors import UserError
from distill.inner.problem import Problem
from distill.kd.network_files import load_weights
from distill.networks.initial import draw_weights
from distill.randomness import stream
from distill.runs.settings import Settings

Weights = dict[str, Tensor]


class InitialWeights(NamedTuple):
    """Initial weights by what they are for."""

    training: list[Weights]  # of the outer steps in turn; empty where each step draws its own
    validation: list[Weights]  # choose between candidates; where random, never reported
    exported: list[Weights]  # the file carries them for students; empty where students draw their own


def initial_weights(settings: Settings, problem: Problem) -> InitialWeights:
    """The known weights, or others that train the set, choose and measure. Raises UserError."""
    fixed, count = settings.network.init == "fixed", settings.network.fixed_networks
    tests = settings.measure.test_networks
    last = tests + settings.measure.validation_networks
    if settings.network.weights:
        loaded = load_networks(settings, problem, count if fixed else last + 1)
        if fixed:
            return known_weights(loaded[:count])
        return InitialWeights(loaded[last:], loaded[tests:last], loaded[:tests])
    if fixed:
        return known_weights(draw_initial(settings, problem, "fixed", count))
    return unseen_weights(settings, problem)


def known_weights(weights: list[Weights]) -> InitialWeights:
    """Weights that a fixed set serves."""
    return InitialWeights(weights, weights, weights)


def unseen_weights(settings: Settings, problem: Problem) -> InitialWeights:
    """Each outer step draws its own weights; others, never reported, choose what is exported."""
    count = settings.measure.validation_networks
    return InitialWeights([], draw_initial(settings, problem, "validation", count), [])


def draw_initial(settings: Settings, problem: Problem, purpose: str, count: int) -> list[Weights]:
    """So many new initialisations, drawn for a purpose."""
    weight_init, seed = settings.network.weight_init, settings.run.seed
    draws = (draw_weights(problem.network, stream(purpose, seed, k), weight_init) for k in range(count))
    return [{name: w.to(settings.run.device) for name, w in draw.items()} for draw in draws]


def load_networks(settings: Settings, problem: Problem, least: int) -> list[Weights]:
    """The networks of --weights, in the order of their files' names. Raises UserError."""
    path = Path(str(settings.network.weights))
    files = sorted(path.glob("*.pt")) if path.is_dir() else [path]
    if len(files) < least:
        raise UserError(
            f"--weights {path} holds {len(files)} networks (*.pt), and {least} are needed: --fixed-networks"
            " known ones, or, where random, --test-networks that measure, --validation-networks that choose,"
            " and one that trains the set"
        )
    like = draw_initial(settings, problem, "fixed", 1)[0]
    return [load_weights(str(file), problem.network, like) for file in files]
