"""Pretrained transformers as networks: a frozen body, trained parts, and a head."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from distill.data.models import is_model

if TYPE_CHECKING:
    from torch import nn

POOLINGS = ("cls", "mean")  # what the head reads


def build_pretrained(name: str, shape: tuple[int, ...], classes: int, **arguments: Any) -> "nn.Module":
    """The network of a pretrained model's name for items (length, dim); its factory draws a new head."""
    from distill.networks.pretrained.network import build

    return build(name, shape, classes, **arguments)


def choose_arguments(network: Mapping[str, Any], text: Mapping[str, Any] | None) -> dict[str, Any]:
    """The arguments of a pretrained network for a set, by its file's `network` and `text`.

    They are those of the set's own, and the checksum of the model of whose word table its items are.
    """
    own = network.get("arguments", {}) if is_model(network["name"]) else {}
    checksum = {"checksum": text["checksum"]} if text and is_model(text.get("vectors")) else {}
    return {**own, **checksum}
