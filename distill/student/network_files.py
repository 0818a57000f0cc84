"""Files of a network's weights: written by us, or a plain state dict."""

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from distill.errors import SetError, UserError
from distill.networks.composed import TorchvisionNetwork
from distill.sets.plain_types import has_type
from distill.sets.safe_load import load_plain
from distill.sets.storage import read_tensors
from distill.student.training import Weights

FORMAT = "distill-network/1"


def load(path: str, network: nn.Module, like: Weights) -> Weights:
    """A file's weights for a network that has weights like these: ours, or a state dict. Raises UserError.

    What a network keeps beside its weights, as torchvision's batch norms do, is put into the network.
    """
    try:
        state = read_tensors(path, "cpu", FORMAT).get("state")
    except SetError:
        state = plain(path)
    if not isinstance(state, dict) or not all(isinstance(w, Tensor) for w in state.values()):
        raise UserError(f"{path} is not a state dict: it must hold tensors by name")
    wanted = {**like, **dict(network.named_buffers())}
    if isinstance(network, TorchvisionNetwork) and not set(state) & set(wanted):
        state = {f"body.{name}": w for name, w in state.items()}  # as torchvision names them itself
    shapes, given = ({name: tuple(w.shape) for name, w in d.items()} for d in (wanted, state))
    if given != shapes:
        raise UserError(f"{path} holds the weights of another network: {difference(given, shapes)}")
    for name, buffer in network.named_buffers():
        buffer.copy_(state[name])
    return {name: state[name].to(w.device) for name, w in like.items()}


def plain(path: str) -> Any:
    """What torch.save wrote, where it is no more than plain values. Raises UserError."""
    try:
        return load_plain(Path(path), "cpu")
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from None
    except Exception:  # whatever a foreign or damaged file makes torch raise
        raise UserError(f"{path} is not a file of weights, or is damaged") from None


def difference(given: dict[str, Any], wanted: dict[str, Any]) -> str:
    """The first parameter in which two networks differ."""
    for name in [*wanted, *given]:
        if given.get(name) != wanted.get(name):
            here, there = (
                "×".join(map(str, d[name])) or "a number" if name in d else "nothing" for d in (given, wanted)
            )
            return f"its {name} is {here}, the network's {there}"
    return "they differ"


def named(path: str) -> dict[str, Any] | None:
    """The network's words in a file of `save`, None where it is a bare state dict or unreadable."""
    try:
        words = read_tensors(path, "cpu", FORMAT).get("network")
    except SetError:
        return None
    if not isinstance(words, dict) or not isinstance(words.get("name"), str):
        return None
    numbers = {key: value for key, value in words.items() if key != "name"}
    return words if has_type(numbers, dict[str, int | None]) else None
