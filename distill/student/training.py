"""Student: a trained network; and training by a set's own recipe."""

import copy
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from distill.data.adapters import check_classes, read_numbered, to_dataset
from distill.data.augment import Augment, build_augmentation
from distill.data.dataset import Dataset
from distill.data.own.libraries import is_hub_split
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
    """What a student is trained on: a DistilledSet or a real Dataset."""

    def __len__(self) -> int: ...

    def batch(self, indices: Any) -> tuple[Tensor, Tensor]:
        """x (b, *item) and y: (b,) class numbers, or (b, classes) soft labels."""


def read_data(data: Any, pixels: bool = True) -> Any:
    """What a student trains on or is measured on, as Data: real data in any form, or Data as it is.

    pixels: uint8 images and words as labels are fine, as the data say themselves what they mean. Raises
    DataError.
    """
    if isinstance(data, Dataset | DistilledSet):
        return data
    if hasattr(data, "batch") and not isinstance(data, torch.utils.data.Dataset) and not is_hub_split(data):
        return data
    return check_classes(to_dataset(data)) if pixels else read_numbered(data)


class Student(nn.Module):
    """A network with weights of its own, in eval mode: a module like any other.

    It holds a private copy of the network and never touches the module that it is made from. Its state dict
    has the keys of that network: network.load_state_dict(student.state_dict()).
    """

    def __init__(self, network: nn.Module, weights: Mapping[str, Tensor] | None = None) -> None:
        super().__init__()
        self.network = copy.deepcopy(network)
        load_parameters(self.network, weights or {})
        self.register_state_dict_post_hook(strip_prefix)
        self.register_load_state_dict_pre_hook(add_prefix)
        self.eval()

    def forward(self, x: Float[Tensor, "batch *item"]) -> Float[Tensor, "batch classes"]:
        """The logits of x, with a graph unless gradients are off."""
        return self.network(x)

    @torch.no_grad()
    def logits(self, x: Float[Tensor, "batch *item"]) -> Float[Tensor, "batch classes"]:
        """The logits of x, without a graph."""
        return self.network(x)

    def predict(self, x: Float[Tensor, "batch *item"]) -> Int[Tensor, " batch"]:
        """The class number of each item of x: that of its largest logit."""
        return self.logits(x).argmax(dim=1)

    @torch.no_grad()
    def features(self, x: Float[Tensor, "batch *item"]) -> Float[Tensor, "batch width"]:
        """The inputs of the network's last linear layer for x, without a graph."""
        return extract_features(self.network, dict(self.network.named_parameters()), x)

    def load_state_dict(self, state_dict: Mapping[str, Any], *args: Any, **kwargs: Any) -> Any:
        """Load what state_dict() returned; as nn.Module.load_state_dict."""
        return self.network.load_state_dict(state_dict, *args, **kwargs)


PREFIX = "network."  # before the keys of the network in those of a student


def strip_prefix(student: nn.Module, state: dict[str, Any], prefix: str, metadata: dict[str, Any]) -> None:
    """The keys of a student's state dict as in its network, wherever in a larger module it is."""
    rename_keys(state, prefix + PREFIX, prefix)
    rename_keys(getattr(state, "_metadata", {}), prefix + PREFIX, prefix)


def add_prefix(student: nn.Module, state: dict[str, Any], prefix: str, *arguments: Any) -> None:
    """The inverse of strip_prefix(), before a larger module loads its state dict."""
    rename_keys(state, prefix, prefix + PREFIX)


def rename_keys(state: dict[str, Any], old: str, new: str) -> None:
    """Give the keys that begin with `old` the beginning `new`."""
    values = {key.removeprefix(old): state.pop(key) for key in list(state) if key.startswith(old)}
    state.update({new + key: value for key, value in values.items()})


@torch.no_grad()
def load_parameters(network: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy named weights into the network's parameters, on the device and in the precision of the weights."""
    if weights:
        network.to(next(iter(weights.values())))
    parameters = dict(network.named_parameters())
    for name, weight in weights.items():
        parameters[name].copy_(weight)


def build_problem(
    data: DistilledSet, network: nn.Module | None = None, inner_loss: Loss | None = None
) -> Problem:
    """The set's recipe as a Problem, for its own network or another. Raises SetError.

    inner_loss is needed where the set was learned with a function of the user's, which no file can hold.
    """
    network = network or build_set_network(data)
    loss, rule = data.inner["loss"], data.inner["rule"]
    if inner_loss is None and loss not in INNER_LOSSES:
        raise SetError(
            unknown("inner loss", loss, INNER_LOSSES) + "; pass your own as `inner_loss` in Python"
        )
    try:
        return Problem(network, build_rule(data.inner), inner_loss or load(INNER_LOSSES[loss]))
    except KeyError:
        raise SetError(unknown("inner rule", rule, ("sgd", "adam"))) from None


def build_set_network(data: DistilledSet, name: str | None = None) -> nn.Module:
    """The set's own network, or the one of another name for the same items and classes. Raises UserError."""
    set_name = data.network["name"]
    same = name in (None, set_name)
    word, arguments = (set_name, data.network.get("arguments", {})) if same else (str(name), {})
    if word not in NETWORKS:
        raise UserError(unknown("network", word, NETWORKS) + "; pass your own module as `network` in Python")
    shape, classes = data.items.shape[1:], data.labels.shape[1]
    return build_network(word, tuple(shape), classes, **arguments).to(data.items.device)


def build_set_augmentation(data: DistilledSet) -> Augment:
    """The augmentation that the set was learned with. Raises SetError."""
    try:
        return build_augmentation(data.inner.get("augment", ""))
    except UserError as error:
        raise SetError(f"the set was learned with another version: {error}") from None


def initial_weights(data: DistilledSet, network: nn.Module, init: str, count: int) -> list[Weights]:
    """Initial weights of students: the set's fixed ones, or `count` random ones that no set was learned with.

    Raises SetError where a random-initialisation set has no fixed weights, or they do not fit.
    """
    if init == "random":
        weight_init = data.network.get("scheme", "xavier")
        if weight_init not in WEIGHT_INITS:
            raise SetError(unknown("initialisation scheme", weight_init, WEIGHT_INITS))
        draws = (draw_weights(network, stream("held-out", k), weight_init) for k in range(count))
        return [{name: w.to(data.items.device) for name, w in weights.items()} for weights in draws]
    if data.init_state is None:
        raise SetError(
            "the set was learned for random initialisations and carries no weights: use --init random"
        )
    if not weights_fit(network, fixed_weights(data)):
        raise SetError("the set's fixed weights do not fit this network: use --init random")
    return fixed_weights(data)


def fixed_weights(data: DistilledSet) -> list[Weights]:
    """The fixed initialisations that the set carries."""
    return data.init_state if isinstance(data.init_state, list) else [data.init_state or {}]


def weights_fit(network: nn.Module, weights: list[Weights]) -> bool:
    """Whether all of them are weights of this network."""
    shapes = {name: p.shape for name, p in network.named_parameters()}
    return all({name: w.shape for name, w in state.items()} == shapes for state in weights)


def replay(data: DistilledSet, problem: Problem, weights: Weights) -> Student:
    """A student trained by the set's own steps, from these weights.

    Rates per parameter tensor are averaged over the tensors for a network that has others.
    """
    state, augment, generator = problem.start(weights), build_set_augmentation(data), stream("replay")
    with torch.no_grad():
        for step in data.steps():
            step = step._replace(x=augment(step.x, generator))
            if step.lr.ndim and len(step.lr) != len(problem.names):
                step = step._replace(lr=step.lr.mean())
            state = problem.advance(state, step)
    return Student(problem.network, problem.weights(state))


def train(
    data: DistilledSet,
    network: nn.Module | None = None,
    init: str | None = None,
    seed: int = 0,
    inner_loss: Loss | None = None,
) -> Student:
    """One student by the set's own recipe: its network or another, from its fixed weights or fresh ones.

    init is "fixed" or "random"; by default as the set was learned, random for a network that its fixed
    weights do not fit. `network` itself is not touched. Raises UserError.
    """
    problem = build_problem(data, copy.deepcopy(network), inner_loss)
    fit = network is None or weights_fit(network, fixed_weights(data))
    init = init or (data.network.get("init", "random") if fit else "random")
    return replay(data, problem, initial_weights(data, problem.network, init, seed + 1)[-1])
