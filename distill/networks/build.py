"""build_network(): a network by its name, for one item's shape and a number of classes."""

import math
from collections.abc import Callable, Sequence
from inspect import signature
from typing import Any

import torch
from torch import nn

from distill.data.models import is_model
from distill.errors import NetworkError, is_memory_error
from distill.networks import IMAGES, NETWORKS, SEQUENCES, VECTORS
from distill.networks.images import MAX_DOUBLING, NORMS, SMALL_DEPTH, Shape
from distill.networks.pretrained import build_pretrained
from distill.registry import find

KINDS = {  # of items, by how many dimensions one has: their networks, and what they are called
    3: (IMAGES, "images"), 2: (SEQUENCES, "sequences (length, dim)"), 1: (VECTORS, "vectors (dim,)"),
}  # fmt: skip
SIZE_WORDS = ("kernel size", "too small", "nothing is left", "more than 1 value", "output size")
MAX_WIDTH, MAX_DEPTH, MAX_WEIGHTS = 10_000, 200, 500_000_000  # channels, layers, numbers


def build_network(name: str, shape: Shape, classes: int, **arguments: Any) -> nn.Module:
    """A network by name, for images (channels, height, width), sequences (length, dim) or vectors.

    Raises NetworkError for an argument that it lacks, an item that is too small or of the other kind, or
    more weights than a machine holds: a few bytes of a file are enough to ask for them.
    """
    check_kind(name, shape)
    if is_model(name):
        return build_pretrained(name, tuple(shape), classes, **arguments)
    network = find(NETWORKS, "network", name)
    check_arguments(name, network, arguments)

    def construct() -> nn.Module:
        return network(tuple(shape), classes, **arguments)

    try:
        if (
            math.prod(max(1, v) for v in arguments.values() if isinstance(v, int)) > 1000
        ):  # the meta device takes 1.5 s to wake up
            with torch.device("meta"):
                weights = sum(p.numel() for p in construct().parameters())
            if weights > MAX_WEIGHTS:
                raise NetworkError(f'the network "{name}" would have {weights:,} weights: make it narrower')
        return construct().float()
    except (RuntimeError, ValueError, MemoryError) as error:
        raise NetworkError(explain(error, name, "×".join(map(str, shape)))) from error


def check_kind(name: str, shape: Shape) -> None:
    """Raise NetworkError where a network of the tables is for items of another number of dimensions."""
    kinds = {ndim: words for ndim, (table, words) in KINDS.items() if name in table}
    if is_model(name):
        kinds = {2: KINDS[2][1]}
    if kinds and len(shape) not in kinds:
        words = " and ".join(kinds.values())
        raise NetworkError(f'the network "{name}" is for {words}, not for items {"×".join(map(str, shape))}')


def default_arguments(name: str | None, shape: Sequence[int]) -> dict[str, int]:
    """What a network of this name has for items of this shape, where nobody says otherwise.

    A ConvNet of more than 45 pixels is deeper than its class: 4 blocks at 64×64, 5 at 128×128, 6 at 224×224
    and 256×256 (Zhao et al. 2021, Cazenavette et al. 2022), so that a map of about 4×4 is left. The shorter
    side counts. Whoever makes a set records them; a set's own network has what its file says.
    """
    if name is None or not name.startswith("convnet") or len(shape) != 3:
        return {}
    depth = round(math.log2(max(1, min(shape[1:])) / 4))
    if name == "convnet-doubling":
        depth = min(depth, MAX_DOUBLING)
    return {"depth": depth} if depth > SMALL_DEPTH else {}


def explain(error: Exception, name: str, size: str) -> str:
    """Why a network of this name cannot be built for items of this size."""
    if is_memory_error(error):
        return f'there is not enough memory for the network "{name}" on items {size}: make it narrower'
    if any(word in str(error).lower() for word in SIZE_WORDS):
        return f'an item of shape {size} is too small for the network "{name}"'
    return f'the network "{name}" cannot be built so: {error}'


def check_arguments(name: str, network: Callable[..., nn.Module], arguments: dict[str, Any]) -> None:
    """Raise NetworkError for an argument that the network lacks, a number out of range or an odd norm."""
    accepted = signature(network).parameters
    for argument, value in arguments.items():
        if argument not in accepted:
            raise NetworkError(f'the network "{name}" has no {argument}')
        if argument == "norm":
            check_norm(name, value)
            continue
        limit = MAX_WIDTH if argument == "width" else MAX_DEPTH
        if not isinstance(value, int) or not (0 < value <= limit or isinstance(value, bool)):
            raise NetworkError(f'the network "{name}" cannot have {argument} {value!r}: 1 … {limit}')


def check_norm(name: str, norm: Any) -> None:
    """Raise NetworkError for what is no norm of the network of this name; its class refuses other words."""
    words = NORMS if name.startswith(("convnet", "plain-cnn", "thin-cnn")) else NORMS[:2]
    if norm not in words:
        raise NetworkError(f'the network "{name}" cannot have norm {norm!r:.40}: {" or ".join(words)}')


def check_no_buffers(name: str, network: nn.Module) -> None:
    """Raise NetworkError for a network of this name with batch norm, for which no set can be distilled."""
    if any(True for _ in network.buffers()):
        raise NetworkError(
            f'the network "{name}" has batch norm, whose running averages training changes, which an unrolled'
            f' step cannot: distil for "{name.removesuffix("-batch")}", and train students of "{name}" on it'
        )
