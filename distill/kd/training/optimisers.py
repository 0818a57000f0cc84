"""Optimisers: a word of torch.optim and its arguments into the optimiser of a turn."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from distill.errors import unknown
from distill.kd.recipe.parts import OptimizerPart, RecipeError
from distill.kd.training.arguments import check_arguments, list_parameters, refusals_at
from distill.student.loop import list_optimisers

REFUSED = {
    "lbfgs": "takes steps with a closure that computes the loss again, which a turn does not have",
    "sparseadam": "takes sparse gradients, and those of networks are dense",
    "muon": "takes matrices alone, and networks have other weights too",
}
HIDDEN = ("params", "differentiable", "capturable")  # of the code that trains, not of a recipe


def build_optimiser(
    part: OptimizerPart, parameters: Sequence[nn.Parameter], lr: float, where: str
) -> torch.optim.Optimizer:
    """The optimiser of parameters; lr is its rate where the part has none. Raises RecipeError."""
    optimiser = find_optimiser(part.name, where)
    check_arguments(part.arguments, list_parameters(optimiser, HIDDEN), where, optimiser.__name__)
    rate = part.arguments.get("lr", lr)
    if not rate > 0:
        raise RecipeError(f"{where}.lr must be above 0, not {rate}")
    arguments = {k: tuple(v) if isinstance(v, list) else v for k, v in part.arguments.items()}
    with refusals_at(where, optimiser.__name__):
        built: torch.optim.Optimizer = optimiser(parameters, **{"lr": lr, **arguments})
    return built


def try_optimiser(part: OptimizerPart, lr: float, where: str) -> torch.optim.Optimizer:
    """The optimiser of a matrix that nobody needs, after a step. Raises RecipeError where it takes none."""
    weight = nn.Parameter(torch.zeros(2, 2))
    optimiser = build_optimiser(part, [weight], lr, where)
    weight.grad = torch.ones_like(weight)
    with refusals_at(where, type(optimiser).__name__):
        optimiser.step()
    return optimiser


def find_optimiser(name: str, where: str) -> Any:
    """The class of torch.optim of a name in any case. Raises RecipeError."""
    optimisers = {word.lower(): optimiser for word, optimiser in list_optimisers().items()}
    if name.lower() in REFUSED:
        raise RecipeError(f"{where}: {name} {REFUSED[name.lower()]}: choose another, as Adam or SGD")
    if name.lower() not in optimisers:
        raise RecipeError(f"{where}: " + unknown("optimiser", name, list_optimisers()))
    return optimisers[name.lower()]
