"""`python -m distill.mnist --n 5`: distil MNIST, or another image set, into five images with soft labels."""

from collections.abc import Sequence

from distill.commands.cli import entry
from distill.runs.settings import ImageConfig


def main(arguments: Sequence[str] | None = None, prog: str = "python -m distill.mnist") -> int:
    """Parse, then import torch and run; the exit code."""
    return entry(ImageConfig, arguments, prog)
