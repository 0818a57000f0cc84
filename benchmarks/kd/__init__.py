"""Knowledge distillation: every system beside what it is meant to improve on, by one protocol.

`python -m benchmarks.kd`. A row (rows.py) compares two networks of a recipe (recipes/). Settings are chosen on
held-out items (choices.py, choose.py), then each recipe runs with ten seeds (runs.py), the protocol is checked
(protocol.py), and intervals over seeds and test items (intervals.py) give the verdicts (tables.py). The studies
draw what is more than a row. docs/concepts/verdicts.md explains the protocol.
"""

from pathlib import Path

RECIPES = Path(__file__).parent / "recipes"
SEEDS = 10  # of every row
