"""Networks made of other networks: with subclasses, ensembles, and torchvision's classifiers."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from distill.errors import NetworkError, unknown
from distill.networks import NETWORKS
from distill.networks.build import MAX_WIDTH, build_network

TORCHVISION = "torchvision/"  # what the names of its classifiers begin with


class SubclassNetwork(nn.Module):
    """A network whose class logits are the logsumexp over each class's subclasses (Müller et al. 2020).

    Class c has the s logits from c · s on; the module "subclasses" answers all of them.
    """

    def __init__(self, network: nn.Module, s: int) -> None:
        super().__init__()
        self.subclasses, self.s = network, s

    def forward(self, x: Tensor) -> Tensor:
        return self.subclasses(x).unflatten(1, (-1, self.s)).logsumexp(dim=2)


class TorchvisionNetwork(nn.Module):
    """A classifier of torchvision.models for items of any number of channels, at least 32 wide."""

    def __init__(self, name: str, classes: int) -> None:
        from torchvision import models

        super().__init__()
        if name not in models.list_models(module=models):
            raise NetworkError(unknown("model in torchvision", name, models.list_models(module=models)))
        self.body = models.get_model(name, weights=None, num_classes=classes)

    def forward(self, x: Tensor) -> Tensor:
        x = x.expand(-1, 3, -1, -1) if x.shape[1] == 1 else x
        if min(x.shape[2:]) < 32:
            x = nn.functional.interpolate(x, size=(32, 32), mode="bilinear", align_corners=False)
        return self.body(x)


class Ensemble(nn.Module):
    """An ensemble: the log of its networks' mean probabilities (bagging: Breiman 1996)."""

    def __init__(self, networks: Sequence[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.ModuleList(networks)

    def forward(self, x: Tensor) -> Tensor:
        log_probabilities = torch.stack([part(x).log_softmax(dim=1) for part in self.parts])
        return log_probabilities.logsumexp(dim=0) - math.log(len(self.parts))


def build_any_network(
    name: str, shape: Sequence[int], classes: int, subclasses: int = 1, **arguments: Any
) -> nn.Module:
    """A network of distill or of torchvision by name, with logits for classes or for subclasses of them.

    Arguments that are None are left out. Raises NetworkError.
    """
    arguments = {key: value for key, value in arguments.items() if value is not None}
    if not (isinstance(subclasses, int) and 0 < subclasses <= MAX_WIDTH):
        raise NetworkError(f"a class cannot have {subclasses!r} subclasses: 1 … {MAX_WIDTH}")
    if name.startswith(TORCHVISION):
        body: nn.Module = TorchvisionNetwork(name.removeprefix(TORCHVISION), classes * subclasses)
        if arguments:
            raise NetworkError(f'the network "{name}" has no {next(iter(arguments))}')
    elif name not in NETWORKS:
        raise NetworkError(unknown("network", name, NETWORKS))
    else:
        body = build_network(name, tuple(shape), classes * subclasses, **arguments)
    return SubclassNetwork(body, subclasses) if subclasses > 1 else body
