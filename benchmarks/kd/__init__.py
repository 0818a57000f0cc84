"""Knowledge distillation: every system beside what it is meant to improve on, by one protocol.

A row (rows.py) compares two networks of a recipe (recipes/). The protocol is checked (protocol.py), settings
are chosen on held-out items (choices.py, choose.py), each recipe runs with ten seeds (runs.py), and intervals
over seeds and test items (intervals.py) give the verdicts (tables.py). The studies show what is more than a
row. docs/concepts/verdicts.md explains the protocol.
"""

from collections.abc import Sequence
from pathlib import Path

from distill.kd.recipe.files import read_recipe
from distill.kd.recipe.parts import Recipe

RECIPES = Path(__file__).parent / "recipes"
SEEDS = 10  # of every row
# Recipes whose settings were chosen again after their verdict was read: their seeds begin here, so that the
# new verdict is that of runs that nobody had read before
FIRST_SEEDS = dict.fromkeys(("dfa", "kd", "prokt-text", "subclass", "subclass-table", "takd", "wsl"), 10)
# Recipes that are another one with changes
VARIANTS = {"uda-back": ("uda", ("data.name=usps.npz", "data.target=mnist-14.npz"))}
# The networks whose test accuracy is measured after each epoch, by recipe; nothing is chosen by it
CURVES = dict.fromkeys(("subclass", "subclass-table"), ("plain", "kd", "own", "information", "none"))


def load_recipe(name: str, changes: Sequence[str] = ()) -> Recipe:
    """A recipe or a variant of one, by its name, with changes as `distill teach --set` takes them."""
    name, variant = VARIANTS.get(name, (name, ()))
    return read_recipe(RECIPES / f"{name}.yaml", [*variant, *changes])
