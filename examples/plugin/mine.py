"""A network, a loss and a data set of one's own, for the recipe beside it: examples/plugin/recipe.yaml."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Tiny(nn.Sequential):
    """A hidden layer; a network gets the shape of an item and the number of classes, then its arguments."""

    def __init__(self, shape: tuple[int, ...], classes: int, hidden: int = 16, dropout: float = 0.0) -> None:
        inputs = torch.Size(shape).numel()
        super().__init__(
            nn.Flatten(),
            nn.Linear(inputs, hidden),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(hidden, classes),
        )


def cosine(student: Tensor, teacher: Tensor) -> Tensor:
    """A loss says by the names of its arguments what it takes: student, teacher, labels, tau …"""
    return 1 - F.cosine_similarity(student, teacher).mean()


def rings() -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """A data set is a function that returns ((x, y), (x, y)): training and test data. Here: two rings."""
    generator = torch.Generator().manual_seed(0)

    def draw(count: int) -> tuple[Tensor, Tensor]:
        y = torch.arange(count) % 2
        angle = 2 * torch.pi * torch.rand(count, generator=generator)
        radius = 1.0 + y + 0.2 * torch.randn(count, generator=generator)
        return torch.stack([radius * angle.cos(), radius * angle.sin()], dim=1), y

    return draw(400), draw(200)
