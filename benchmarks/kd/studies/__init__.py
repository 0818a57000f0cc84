"""Studies: what is more than a row. Each writes benchmarks/results/kd-NAME.json and .md, and a picture."""

from pathlib import Path
from typing import Any

from benchmarks import machine
from benchmarks.kd import SEEDS
from distill.sets.storage import write_text

ASSETS = Path(__file__).parents[3] / "docs" / "assets"


def write_study(name: str, seeds: int, content: dict[str, Any], text: str) -> bool:
    """benchmarks/results/kd-NAME.json and .md; of fewer seeds than ten, the text is only printed.

    The result says whether it was written.
    """
    if not seeds:
        return False
    print(text)
    if seeds < SEEDS:
        print(f"kd-{name}: {seeds} of {SEEDS} seeds: not written yet")
        return False
    path = machine.write_results(f"kd-{name}", "make bench-kd", content)
    write_text(path.with_suffix(".md"), text + "\n")
    return True


def load_pyplot() -> Any:
    """matplotlib.pyplot, which draws into files."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    return plt
