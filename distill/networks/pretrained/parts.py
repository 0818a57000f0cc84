"""Which parts of a pretrained body are trained beside the head: a word of the option --train-parts."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from distill.errors import NetworkError, quote, unknown
from distill.networks.pretrained.constants import unfreeze

TARGETS = "query,value"  # the layers of attention with LoRA, as in Hu et al. 2022
ADVICE = "give head, lora:R, lora:R:NAME,NAME, last:K or all"


class LowRank(nn.Module):
    """The frozen layer's answer and B A x (Hu et al. 2022, eq. 3): A (rank, in) random, B (out, rank) zero.

    Their factor α / rank is 1, as learning rates are learned.
    """

    def __init__(self, layer: nn.Linear, rank: int) -> None:
        super().__init__()
        inputs, outputs = layer.in_features, layer.out_features
        self.layer = layer
        self.down = nn.Parameter(torch.randn(rank, inputs) / math.sqrt(inputs))
        self.up = nn.Parameter(torch.zeros(outputs, rank))

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + F.linear(F.linear(x, self.down), self.up)


def add_trained_parts(body: nn.Module, word: str) -> None:
    """Make the parts of a frozen body that a word names parameters. Raises NetworkError.

    "head" is none of it, "all" its every layer, "last:K" its last K layers; "lora:R" adds matrices of rank R
    to the projections of queries and values, "lora:R:NAMES" to all linear layers of these names.
    """
    kind, _, value = word.partition(":")
    if word == "all":
        unfreeze(body)
    elif kind == "last":
        layers = find_layers(body)
        for layer in layers[len(layers) - read_count(word, value, len(layers), "layers") :]:
            unfreeze(layer)
    elif kind == "lora":
        rank, _, names = value.partition(":")
        add_low_rank(body, read_count(word, rank, 1024, "ranks"), (names or TARGETS).split(","))
    elif word != "head":
        raise NetworkError(f"no part to train called {quote(word)}: {ADVICE}")


def read_count(word: str, digits: str, most: int, noun: str) -> int:
    """The number in a word of parts. Raises NetworkError where it is none, or out of range."""
    count = int(digits) if digits.isascii() and digits.isdecimal() and len(digits) < 6 else 0
    if not 1 <= count <= most:
        raise NetworkError(f"the parts to train {quote(word)} need a number of {noun}, 1 … {most}: {ADVICE}")
    return count


def find_layers(body: nn.Module) -> nn.ModuleList:
    """The layers of a transformer: the first of its lists of modules. Raises NetworkError."""
    lists = [module for module in body.modules() if isinstance(module, nn.ModuleList)]
    if not lists:
        raise NetworkError("the model has no list of layers, whose last could be trained: train head, or all")
    return lists[0]


def add_low_rank(body: nn.Module, rank: int, targets: list[str]) -> None:
    """Put LowRank in the place of each linear layer of these names. Raises NetworkError for others."""
    found = [
        (parent, name, layer)
        for parent in body.modules()
        for name, layer in parent.named_children()
        if isinstance(layer, nn.Linear)
    ]
    names = {name for _, name, _ in found}
    for target in targets:
        if target not in names:
            raise NetworkError(unknown("linear layer in the model, for LoRA,", target, names))
    for parent, name, layer in found:
        if name in targets:
            setattr(parent, name, LowRank(layer, rank))
