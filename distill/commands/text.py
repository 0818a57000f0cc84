"""`distill text --n 2`: distil the bundled sentences, or another text set."""

from collections.abc import Sequence

from distill.commands.cli import entry
from distill.runs.settings import TextConfig


def main(arguments: Sequence[str] | None = None, prog: str = "distill text") -> int:
    """Parse, then import torch and run; the exit code."""
    return entry(TextConfig, arguments, prog)
