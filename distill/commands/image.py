"""`distill image --n 5`: distil MNIST, or another image set, into five images with soft labels."""

from collections.abc import Sequence

from distill.commands.cli import run_job
from distill.runs.settings import ImageSettings

SETTINGS = ImageSettings()


def main(arguments: Sequence[str] | None = None, prog: str = "distill image") -> int:
    """Parse, then import torch and run the job; the exit code."""
    return run_job(SETTINGS, "distill.runs.job:distil", arguments, prog)
