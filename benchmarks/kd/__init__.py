"""Knowledge distillation: every system beside what it is meant to improve on, by one protocol.

A row (rows.py) compares two networks of a recipe (recipes/). The protocol is checked (protocol.py), settings
are chosen on held-out items (choices.py, choose.py), each recipe runs with ten seeds (runs.py), and intervals
over seeds and test items (intervals.py) give the verdicts (tables.py). The studies show what is more than a
row. docs/concepts/verdicts.md explains the protocol.
"""

from pathlib import Path

RECIPES = Path(__file__).parent / "recipes"
SEEDS = 10  # of every row
