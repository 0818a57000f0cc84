"""The weights of aggregations beyond their search: the file alphas.json, and what a stage without one takes.

The file holds {"NETWORK": {"TAP <- LAYER LAYER": [share, share]}}: for each teacher and group of a search,
the shares softmax(α) of its layers. Another recipe reads it by the key `alphas` of the teacher.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from distill.errors import UserError, cut, unknown
from distill.kd.recipe.parts import LossPart
from distill.sets.plain_types import has_type

ALPHAS = ("searched", "mean", "random")  # the words of a loss's key alpha
MOST_BYTES = 10**7  # of a file
Alphas = dict[str, Tensor]  # by group


def name_group(part: LossPart) -> str:
    """What the search of a group and the stage that uses it have in common: "0.3 <- 0.3 0.4"."""
    return f"{part.tap} <- {' '.join(part.layers or ())}"


def choose_alpha(part: LossPart, alphas: Mapping[str, Tensor], generator: torch.Generator) -> Tensor:
    """α of an aggregate loss: what a search found or a file holds, zeros (mean), or normal (random)."""
    count = len(part.layers or ())
    if part.alpha == "random":
        return torch.randn(count, generator=generator)
    return torch.zeros(count) if part.alpha == "mean" else alphas[name_group(part)].detach()


def format_alphas(alphas: Mapping[str, Mapping[str, Tensor]]) -> str:
    """The shares of each network's groups as JSON; empty text where no network has any."""
    shares = {
        name: {group: alpha.detach().softmax(dim=0).tolist() for group, alpha in groups.items()}
        for name, groups in alphas.items()
        if groups
    }
    return json.dumps(shares, indent=2) + "\n" if shares else ""


def read_alphas(path: str, network: str) -> Alphas:
    """α by group of a network in a file: those of its name, or of the only one. Raises UserError."""
    content = load_alphas(path)
    if network not in content and len(content) != 1:
        raise UserError(f"{path}: " + unknown("network", network, content))
    groups = content.get(network) or next(iter(content.values()))
    return {group: read_shares(group, shares, path) for group, shares in groups.items()}


def load_alphas(path: str) -> dict[str, dict[str, Any]]:
    """The content of a file. Raises UserError where it is none of shares by network and group."""
    try:
        with open(Path(path), "rb") as file:
            content = json.loads(file.read(MOST_BYTES))
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError):
        content = None
    if not has_type(content, dict[str, dict[str, list[float]]]) or not content:
        raise UserError(f'{path} is no file of alphas: {{"NETWORK": {{"TAP <- LAYER LAYER": [0.5, 0.5]}}}}')
    result: dict[str, dict[str, Any]] = content
    return result


def read_shares(group: str, shares: Sequence[float], path: str) -> Tensor:
    """α of shares that are at least 0, sum to 1, and are as many as the group's layers. Raises UserError."""
    layers = group.partition(" <- ")[2].split()
    fair = all(share >= 0 for share in shares) and math.isclose(sum(shares), 1, abs_tol=1e-3)
    if len(layers) != len(shares) or not fair:
        raise UserError(
            f"{path}: {cut(group)} must have a share of each of its {len(layers)} layers, with the sum 1"
        )
    return torch.tensor(shares).log()
