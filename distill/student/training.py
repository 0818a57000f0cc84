"""Student: a trained network; and training by a set's own recipe."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from distill.data.augment.batch import build_augmentation
from distill.data.augment.each import Augment
from distill.data.models import is_model
from distill.errors import NetworkError, SetError, UserError, unknown
from distill.inner import INNER_LOSSES
from distill.inner.attention import AttentionProblem, has_attention
from distill.inner.dry_run import check_loss, check_network, first_line, forward
from distill.inner.problem import Loss, Problem
from distill.inner.rules import build_rule
from distill.inner.step import extend_steps
from distill.networks import NETWORKS, WEIGHT_INITS
from distill.networks.build import build_network, default_arguments
from distill.networks.functional import (
    copy_network,
    extract_features,
    load_parameters,
    unwrap,
    weights_fit,
)
from distill.networks.initial import check_new_weights, draw_weights
from distill.networks.pretrained import choose_arguments
from distill.networks.resolve import NetworkLike, plain_torch, resolve_network
from distill.randomness import seed_torch, stream
from distill.registry import load
from distill.sets.distilled import DistilledSet
from distill.sets.plain_types import check_count

Weights = dict[str, Tensor]


@runtime_checkable
class Data(Protocol):
    """What a student is trained on: a DistilledSet or a real Dataset."""

    def __len__(self) -> int: ...

    def batch(self, indices: Any) -> tuple[Tensor, Tensor]:
        """x (b, *item) and y: (b,) class numbers, or (b, classes) soft labels."""


class Student(nn.Module):
    """A network with weights and buffers of its own, in eval mode: a module like any other.

    It holds a private copy of the network and never touches the module that it is made from. Its state dict
    has the keys of that network: network.load_state_dict(student.state_dict()).
    """

    def __init__(self, network: nn.Module, weights: Mapping[str, Tensor] | None = None) -> None:
        super().__init__()
        self.network = copy_network(network)
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


def build_problem(data: DistilledSet, network: NetworkLike = None, inner_loss: Loss | None = None) -> Problem:
    """The set's recipe as a Problem, for its own network or a copy of another. Raises UserError.

    inner_loss is needed where the set was learned with a function of the user's, which no file can hold.
    """
    if not isinstance(data, DistilledSet):
        raise UserError(f"data is a {type(data).__name__}: give a DistilledSet, as DistilledSet.load(path)")
    return assemble_problem(data, resolve_set_network(data, network), inner_loss)


def assemble_problem(data: DistilledSet, network: nn.Module, inner_loss: Loss | None = None) -> Problem:
    """The set's recipe for this very module, which is not tried first. Raises UserError."""
    loss, rule = data.inner["loss"], data.inner["rule"]
    if inner_loss is not None:
        rows = data.schedule[0]
        check_loss("inner_loss", inner_loss, forward(network, data.items[rows]), data.labels[rows])
    if inner_loss is None and loss not in INNER_LOSSES:
        raise SetError(
            unknown("inner loss", loss, INNER_LOSSES) + "; pass your own as `inner_loss` in Python"
        )
    try:
        parts = network, build_rule(data.inner), inner_loss or load(INNER_LOSSES[loss])
    except KeyError:
        raise SetError(unknown("inner rule", rule, ("sgd", "adam"))) from None
    if data.attention is not None and has_attention(network):
        return AttentionProblem(*parts, attention_weight=data.inner["attention_weight"])
    return Problem(*parts)


def resolve_set_network(data: DistilledSet, network: NetworkLike = None) -> nn.Module:
    """A private network for a set: its own, the one of a name, or a copy of what a user passes.

    Raises NetworkError where it cannot be trained on the set.
    """
    if network is None or isinstance(network, str):
        with seed_torch(stream("network")):  # the caller's randomness goes on as if nothing was drawn
            return build_set_network(data, network)
    module = resolve_network(network, data.items.shape[1:], data.labels.shape[1], data.items.device)
    check_network(module, data.items[data.schedule[0]], data.labels.shape[1])
    return module


def build_set_network(data: DistilledSet, name: str | None = None) -> nn.Module:
    """The set's own network, or the one of another name for the same items and classes. Raises UserError."""
    set_name = data.network["name"]
    same = name in (None, set_name)
    shape, classes = data.items.shape[1:], data.labels.shape[1]
    word = set_name if same else str(name)
    arguments = data.network.get("arguments", {}) if same else default_arguments(word, shape)
    if is_model(word):
        arguments = choose_arguments(data.network, data.text)
    elif word not in NETWORKS:
        raise UserError(unknown("network", word, NETWORKS) + "; pass your own module as `network` in Python")
    return build_network(word, tuple(shape), classes, **arguments).to(data.items.device)


def build_set_augmentation(data: DistilledSet) -> Augment:
    """The augmentation that the set was learned with. Raises SetError."""
    try:
        return build_augmentation(data.inner.get("augment", ""))
    except UserError as error:
        raise SetError(f"the set was learned with another version: {error}") from None


@plain_torch()
def initial_weights(
    data: DistilledSet, network: NetworkLike, init: str, count: int, first: int = 0
) -> list[Weights]:
    """Initial weights of students: the set's fixed ones, or `count` random ones that no set was learned with.

    The random ones are numbered, and `first` is the number of the first. Raises UserError: for a network
    whose random weights would all be the same, for a set that has no fixed weights, or has those of another
    network.
    """
    count = check_count("count", count)
    if init not in ("fixed", "random"):
        raise UserError("init: " + unknown("init", str(init), ("fixed", "random")))
    is_module = isinstance(network, nn.Module)
    network = unwrap(network) if is_module else resolve_set_network(data, network)
    if init == "random":
        return draw_held_out(data, network, range(first, first + count))
    if data.init_state is None:
        raise SetError(
            "the set was learned for random initialisations and carries no weights: use random ones"
            " (init random)"
        )
    if not weights_fit(network, fixed_weights(data)):
        raise SetError("the set's fixed weights do not fit this network: use random ones (init random)")
    return fixed_weights(data)


def draw_held_out(data: DistilledSet, network: nn.Module, numbers: Iterable[int]) -> list[Weights]:
    """The random weights of these numbers, none of which a set was learned with. Raises UserError."""
    weight_init = data.network.get("scheme", "xavier")
    if weight_init not in WEIGHT_INITS:
        raise SetError(unknown("initialisation scheme", weight_init, WEIGHT_INITS))
    draws = [draw_weights(network, stream("held-out", k), weight_init) for k in numbers]
    if len(draws) > 1:
        check_new_weights(network, *draws[:2])
    like = data.items  # their device and, but for whole numbers in buffers, their precision
    return [
        {name: w.to(like) if w.is_floating_point() else w.to(like.device) for name, w in weights.items()}
        for weights in draws
    ]


def fixed_weights(data: DistilledSet) -> list[Weights]:
    """The fixed initialisations that the set carries."""
    return data.init_state if isinstance(data.init_state, list) else [data.init_state or {}]


@plain_torch()
def replay(data: DistilledSet, problem: Problem, weights: Weights, count: int | None = None) -> Student:
    """A student trained by the set's own steps, all or `count` of them, from these weights.

    Beyond the last step the steps come round again at its learning rate. Rates per parameter tensor are
    averaged over the tensors for a network that has others. Raises UserError.
    """
    if not isinstance(problem, Problem):
        raise UserError(f"problem is a {type(problem).__name__}: give build_problem(data, network)")
    problem = problem.of_torch
    state, augment, generator = problem.start(weights), build_set_augmentation(data), stream("replay")
    try:
        # the same dropout in each call
        with torch.no_grad(), seed_torch(stream("replay", "layers")):
            for step in extend_steps(data.steps(), count):
                step = step._replace(x=augment(step.x, generator))
                if step.lr.ndim and len(step.lr) != len(problem.names):
                    step = step._replace(lr=step.lr.mean())
                state = problem.advance(state, step)
    except UserError:
        raise
    except Exception as error:  # whatever layers and losses of a user raise
        raise NetworkError(f"the network cannot be trained on the set ({first_line(error)})") from error
    return Student(problem.network, problem.weights(state))


def default_init(data: DistilledSet, network: nn.Module | None) -> str:
    """As the set was learned, but "random" for another network that its fixed weights do not fit."""
    fit = network is None or weights_fit(network, fixed_weights(data))
    return str(data.network.get("init", "random")) if fit else "random"
