"""Files of plugins: imported where that was allowed, and searched for names. Imports no torch.

`mine:Tiny` is the name Tiny in the file mine.py. To import a file is to run it with the rights of whoever
reads the recipe, so a recipe alone cannot do it: the command line or the caller has to allow it.
"""

import importlib.util
import inspect
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from distill.errors import cut, unknown
from distill.kd.recipe.parts import RecipeError

MODULE = "distill_plugin_"  # what the name of a plugin's module begins with, before the name of its file
WORD = re.compile(r"(\w+):(\w+)")


def is_plugin(word: str) -> bool:
    """Whether a word is written as a name in a plugin."""
    return WORD.fullmatch(word) is not None


def load_plugins(paths: Sequence[str], allow: bool) -> None:
    """Import the files of a recipe; a file that was imported before is imported anew. Raises RecipeError."""
    if paths and not allow:
        raise RecipeError(f"plugins: {cut(paths[0])} is code: read it, and give --allow-plugins to run it")
    stems = [Path(path).stem for path in paths]
    for i, path in enumerate(paths):
        if stems.index(stems[i]) < i:
            raise RecipeError(f"plugins.{i}: two files are called {stems[i]}: rename one")
        import_file(Path(path), f"plugins.{i}")


def import_file(path: Path, where: str) -> None:
    """Import a Python file under a name that find_plugin() knows. Raises RecipeError."""
    if path.suffix != ".py" or not path.is_file():
        raise RecipeError(f"{where}: {path} is no Python file: give the path of one, as mine.py")
    name = MODULE + path.stem
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise RecipeError(f"{where}: {path} cannot be imported")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # whatever a user's file raises
        del sys.modules[name]
        raise RecipeError(f"{where}: {path} cannot be imported ({describe(error)})") from error


def find_plugin(word: str, where: str) -> Any:
    """The class or function of a word, as mine:Tiny. Raises RecipeError that says what the file has."""
    stem, _, name = word.partition(":")
    module = sys.modules.get(MODULE + stem)
    if module is None:
        raise RecipeError(f"{where}: {stem} is no plugin of the recipe: give its key plugins: [{stem}.py]")
    value = getattr(module, name, None)
    if not callable(value):
        raise RecipeError(f"{where}: " + unknown(f"class or function in {stem}.py", name, list_names(module)))
    return value


def list_names(module: ModuleType) -> list[str]:
    """The public classes and functions that a module defines itself."""
    return [
        name
        for name, value in vars(module).items()
        if (inspect.isclass(value) or inspect.isfunction(value))
        and value.__module__ == module.__name__
        and not name.startswith("_")
    ]


def describe(error: BaseException) -> str:
    """An error of a user's code, on one line."""
    return cut(" ".join(f"{type(error).__name__}: {error}".split()))
