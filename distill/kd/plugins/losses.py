"""Losses of one's own: a function of a plugin, whose arguments say what it takes."""

import inspect
from typing import Any

from torch import Tensor

from distill.errors import unknown
from distill.kd.losses import KD_LOSSES, KDLoss, evaluate_loss
from distill.kd.plugins.files import MODULE, describe, find_plugin, is_plugin
from distill.kd.recipe.parts import RecipeError

INPUTS = ("student", "teacher", "labels", "tau", "plain", "target")


def find_loss(word: str, where: str) -> KDLoss:
    """The loss of a word of KD_LOSSES, or of a function of a plugin, as mine:cosine. Raises RecipeError."""
    if word in KD_LOSSES:
        return KD_LOSSES[word]
    if not is_plugin(word):
        raise RecipeError(f"{where}: " + unknown("loss", word, KD_LOSSES))
    takes = tuple(inspect.signature(find_plugin(word, where)).parameters)
    for name in takes:
        if name not in INPUTS:
            raise RecipeError(f"{where}: {word} takes " + unknown("input of a loss", name, INPUTS))
    if takes[:1] != ("student",):
        raise RecipeError(f"{where}: the first argument of {word} must be student")
    return KDLoss(MODULE + word, "of one's own", takes)


def evaluate_own_loss(loss: KDLoss, inputs: dict[str, Any], word: str, where: str) -> Tensor:
    """The value of a plugin's loss, a scalar with a graph. Raises RecipeError for what is none."""
    try:
        value = evaluate_loss(loss, inputs)
    except Exception as error:  # whatever a user's code raises
        raise RecipeError(f"{where}: the loss {word} fails ({describe(error)})") from error
    if not isinstance(value, Tensor) or value.ndim or not value.requires_grad:
        form = "a constant" if isinstance(value, Tensor) and not value.ndim else f"a {type(value).__name__}"
        shape = f" of {tuple(value.shape)}" if isinstance(value, Tensor) and value.ndim else ""
        raise RecipeError(f"{where}: the loss {word} returns {form}{shape}, not one number made of student")
    return value
