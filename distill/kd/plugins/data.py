"""Data sets of one's own: a function of a plugin that returns training and test data."""

from dataclasses import replace

from distill.data.adapters import read_splits
from distill.data.dataset import Dataset
from distill.errors import DataError
from distill.kd.plugins.files import describe, find_plugin
from distill.kd.recipe.parts import RecipeError


def load_own_data(word: str, device: str, where: str) -> tuple[Dataset, Dataset]:
    """(train, test) of a plugin's function, as mine:rings, which returns them in any form that `teach` takes.

    Raises RecipeError.
    """
    load = find_plugin(word, where)
    try:
        result = load()
    except Exception as error:  # whatever a user's code raises
        raise RecipeError(f"{where}: {word}() fails ({describe(error)})") from error
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise RecipeError(f"{where}: {word}() must return two things: the training data and the test data")
    try:
        train, test = read_splits(*result)
    except DataError as error:
        raise RecipeError(f"{where}: {word}(): {error}") from error
    if test is None:
        raise RecipeError(f"{where}: {word}() must return test data too, not None")
    return move(train, device), move(test, device)


def move(split: Dataset, device: str) -> Dataset:
    """A split on a device."""
    return replace(split, items=split.items.to(device), labels=split.labels.to(device))
