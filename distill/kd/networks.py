"""Members: the networks of a recipe with their weights, and files of weights."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from distill.networks.composed import TORCHVISION, Ensemble, build_any_network
from distill.networks.initial import draw_weights
from distill.randomness import stream
from distill.sets.storage import write_tensors
from distill.student.network_files import FORMAT
from distill.student.training import Student, Weights


@dataclass
class Member:
    """One network and its weights, which a stage replaces when it has trained them."""

    name: str
    network: nn.Module
    weights: Weights
    words: dict[str, Any] = field(default_factory=dict)  # name and arguments, as a file tells them
    int8: bool = False
    alphas: dict[str, Tensor] = field(default_factory=dict)  # found weights of its layers, by group

    def student(self) -> Student:
        return Student(self.network.eval(), self.weights)

    def save(self, path: str) -> None:
        """A .pt of plain tensors and words, which --teacher and `checkpoint` read."""
        whole = {**self.weights, **dict(self.network.named_buffers())}
        state = {name: w.detach().cpu() for name, w in whole.items()}
        write_tensors(path, {"format": FORMAT, "network": self.words, "state": state})


def member(
    key: str, words: dict[str, Any], shape: Sequence[int], classes: int, seed: tuple[int, int], device: str
) -> Member:
    """A new member: words are name, width, depth … and subclasses; seed seeds its weights."""
    generator = stream("student", *seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
        made = build_any_network(
            words["name"], shape, classes, **{k: v for k, v in words.items() if k != "name"}
        )
    vision = words["name"].startswith(TORCHVISION)
    weights = dict(made.named_parameters()) if vision else draw_weights(made, generator, "uniform")
    moved = {name: w.detach().clone().to(device) for name, w in weights.items()}
    return Member(key, made.to(device).eval(), moved, words)


def together(key: str, parts: Sequence[Member]) -> Member:
    """An ensemble of members as they are now."""
    weights = {f"parts.{i}.{name}": w for i, part in enumerate(parts) for name, w in part.weights.items()}
    return Member(key, Ensemble([part.network for part in parts]), weights, {"name": "mean"})
