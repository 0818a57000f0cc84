"""Networks of one's own: a class or function of a plugin, called with an item's shape and the classes."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn

from distill.errors import NetworkError
from distill.inner.dry_run import check_network
from distill.kd.plugins.files import describe, find_plugin
from distill.kd.recipe.parts import RecipeError
from distill.kd.training.arguments import check_arguments, list_parameters
from distill.networks.functional import check_module
from distill.randomness import stream


def build_own_network(
    word: str, shape: Sequence[int], classes: int, arguments: Mapping[str, Any], where: str
) -> nn.Module:
    """The network of a plugin, as mine:Tiny, with the weights that it draws itself.

    Raises RecipeError for arguments that it has not, or a network that cannot be trained on such items.
    """
    build = find_plugin(word, where)
    parameters = list_parameters(build, ())
    check_arguments(arguments, {k: parameters[k] for k in list(parameters)[2:]}, where, word)
    try:
        module = build(tuple(shape), classes, **arguments)
    except Exception as error:  # whatever a user's code raises
        raise RecipeError(f"{where}: {word} cannot be built ({describe(error)})") from error
    try:
        check_module(module)
        check_network(module, torch.rand(2, *shape, generator=stream("plugin")), classes)
    except NetworkError as error:
        raise RecipeError(f"{where}: {word}: {error}") from error
    return module.float()
