"""Files of a network's weights: written by us, or a plain state dict."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from distill.errors import SetError, UserError
from distill.networks import NETWORKS
from distill.networks.build import default_arguments
from distill.networks.composed import TorchvisionNetwork
from distill.sets import safe_load as untrusted
from distill.sets.distilled import DistilledSet
from distill.sets.plain_types import Positive, has_type
from distill.sets.storage import read_tensors, write_tensors
from distill.student.protocols import TrainingProtocol, softmax_scale
from distill.student.training import Student, Weights

FORMAT = "distill-network/1"
WRAPPERS = ("state_dict", "model_state_dict", "model")  # where training code keeps a network's weights
PREFIXES = ("module.", "_orig_mod.", "module.")  # of nn.DataParallel, of torch.compile, of one in the other


def save_network(
    path: str, architecture: dict[str, Any], network: nn.Module, classes: Sequence[str] = (), **facts: float
) -> None:
    """Write a network's architecture (name and arguments), weights, buffers and classes, as plain values.

    facts: what else the file says of its answers.
    """
    tensors = {**dict(network.named_parameters()), **dict(network.named_buffers())}
    state = {name: w.detach().cpu() for name, w in tensors.items()}
    content = {"format": FORMAT, "network": architecture, "state": state, "classes": list(classes), **facts}
    write_tensors(path, content)


def save_student(
    path: str, student: Student, data: DistilledSet, name: str, protocol: TrainingProtocol
) -> None:
    """Write a student of a set, of the network of this name, with the set's classes and its logits' scale.

    protocol: what it was trained by. Only networks of NETWORKS are named in the file: whoever loads another
    one says what it is.
    """
    is_own = name == data.network["name"]
    arguments = data.network.get("arguments", {}) if is_own else default_arguments(name, data.items.shape[1:])
    architecture = {"name": name, **arguments} if name in NETWORKS else {}
    scale = softmax_scale(data, protocol)
    save_network(path, architecture, student.network, data.source["classes"], softmax_scale=scale)


def load_weights(path: str, network: nn.Module, like: Mapping[str, Tensor]) -> Weights:
    """The weights in a file of distill, or in a state dict, for such a network. Raises UserError.

    The network's buffers, as torchvision's batch norms have, are loaded into the network.
    """
    state, tensors = read_state(path), {**like, **dict(network.named_buffers())}
    if isinstance(network, TorchvisionNetwork) and not set(state) & set(tensors):
        state = {f"body.{name}": w for name, w in state.items()}  # as torchvision names them itself
    shapes, file_shapes = ({name: tuple(w.shape) for name, w in d.items()} for d in (tensors, state))
    if file_shapes != shapes:
        difference = describe_difference(file_shapes, shapes)
        raise UserError(f"{path} holds the weights of another network: {difference}")
    state = {name: cast_like(state[name], w, f"{path}: its {name}") for name, w in tensors.items()}
    for name, buffer in network.named_buffers():
        buffer.copy_(state[name])
    return {name: state[name] for name in like}


def read_state(path: str) -> dict[str, Tensor]:
    """The tensors by name in a file, out of what training code wraps them in. Raises UserError."""
    try:
        state = read_tensors(path, "cpu", FORMAT).get("state")
    except SetError:
        state = load_plain(path)
    while isinstance(state, dict) and (inner := next((state[k] for k in WRAPPERS if k in state), None)):
        state = inner
    if not isinstance(state, dict) or not all(
        isinstance(k, str) and isinstance(w, Tensor) for k, w in state.items()
    ):
        raise UserError(f"{path} is not a state dict: it must hold tensors by name")
    for prefix in PREFIXES:
        if state and all(name.startswith(prefix) for name in state):
            state = {name.removeprefix(prefix): w for name, w in state.items()}
    return state


def cast_like(weights: Tensor, like: Tensor, where: str) -> Tensor:
    """Weights in the precision and on the device of a network's. Raises UserError."""
    if weights.is_floating_point() != like.is_floating_point() or weights.is_complex():
        raise UserError(f"{where} is {weights.dtype}, the network's {like.dtype}: it is of another network")
    cast = weights.to(like.device, like.dtype)
    if not bool(torch.isfinite(cast).all()):
        raise UserError(f"{where} holds numbers that are not finite in {like.dtype}: train it anew")
    return cast


def load_plain(path: str) -> Any:
    """What torch.save wrote, where it is no more than plain values. Raises UserError."""
    try:
        return untrusted.load_plain(Path(path), "cpu")
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from None
    except Exception:  # whatever a foreign or damaged file makes torch raise
        raise UserError(
            f"{path} is not a file of weights, or is damaged: torch.save(network.state_dict(), FILE) writes"
            " one"
        ) from None


def describe_difference(file_shapes: dict[str, Any], shapes: dict[str, Any]) -> str:
    """The first parameter in which a file and a network differ, as text."""
    for name in [*shapes, *file_shapes]:
        if file_shapes.get(name) != shapes.get(name):
            in_file, in_network = (
                "×".join(map(str, d[name])) or "a number" if name in d else "nothing"
                for d in (file_shapes, shapes)
            )
            return f"its {name} is {in_file}, the network's {in_network}"
    return "they differ"


def read_architecture(path: str) -> dict[str, Any] | None:
    """The network's name and arguments in a file of distill; None for a bare or an unreadable file."""
    try:
        architecture = read_tensors(path, "cpu", FORMAT).get("network")
    except SetError:
        return None
    if not isinstance(architecture, dict) or not isinstance(architecture.get("name"), str):
        return None
    numbers = {key: value for key, value in architecture.items() if key != "name"}
    return architecture if has_type(numbers, dict[str, int | bool | None]) else None


def read_classes(path: str) -> list[str]:
    """The names of a network's outputs in a file of distill; empty where it names none."""
    try:
        classes: Any = read_tensors(path, "cpu", FORMAT).get("classes")
    except SetError:
        return []
    return list(classes) if has_type(classes, list[str]) else []


def read_softmax_scale(path: str) -> float | None:
    """By what a student's logits are multiplied before a softmax; None where the file does not say it."""
    try:
        scale: Any = read_tensors(path, "cpu", FORMAT).get("softmax_scale")
    except SetError:
        return None
    return float(scale) if has_type(scale, Positive) else None
