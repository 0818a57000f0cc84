"""`distill text --n 2`: distil the bundled sentences, or another text set."""

from collections.abc import Sequence

from distill.commands.cli import run_job
from distill.runs.settings import TextSettings

SETTINGS = TextSettings()


def main(arguments: Sequence[str] | None = None, prog: str = "distill text") -> int:
    """Parse, then import torch and run the job; the exit code."""
    return run_job(SETTINGS, "distill.runs.job:distil", arguments, prog)
